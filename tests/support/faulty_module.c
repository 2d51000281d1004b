/* A PKCS#11 module that hands each call on to another one (FAULTY_MODULE), and goes wrong as FAULTY says:
 *
 *   hang:C_Sign      never answers          exit:C_Sign      calls _exit(0)      abort:C_Login   crashes
 *   refuse:C_Sign    CKR_GENERAL_ERROR      slot             one more slot, which answers CKR_DEVICE_ERROR
 *   grow             the slot list is one longer when it is read than when it was counted
 *   endless          the slot list is as long as no memory is
 *   final            the token says that one more wrong PIN locks it
 *   pad              the token has a PIN pad: C_Login without a PIN logs in
 *   always           the key wants a login for each signature, which another session's C_SignInit ends
 *   loner            the module does not know threads (CKR_CANT_LOCK), and a second thread in it is a crash
 *   parameters       C_Initialize wants the text of FAULTY_PARAMETERS where NSS has it
 *   expired          the key's CKA_END_DATE is long ago
 *   unavailable      the private key's CKA_MODULUS has the length of CK_UNAVAILABLE_INFORMATION, with CKR_OK
 *   cancel           the first login for a signature is cancelled (CKR_FUNCTION_CANCELED), as at a PIN pad
 *   memory           the token has memory for two sessions
 *   optional         the token does not say that it wants a login
 *   garbage          C_Sign says that its signature is longer than it can be
 *
 * Several are separated by blanks. FAULTY_RIGHT is the right PIN, FAULTY_TYPED what is typed at the PIN pad (default:
 * the right one), both behind a mark: a variable that holds a PIN alone does not get here.
 * Structures: pkcs11t.h of PKCS #11 2.40, natural alignment. Every C_Login, and that it hangs, is written to FAULTY_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long U;
typedef U (*Call)();
struct list { unsigned char version[2]; Call calls[68]; };
struct arguments { void *mutexes[4]; U flags; char *parameters; void *reserved; };
struct information { char label[32], manufacturer[32], model[16], serial[16]; U flags; };
struct attribute { U type; void *value; U length; };

enum { INITIALIZE = 0, FINALIZE = 1, SLOTS = 4, TOKEN = 6, OPEN = 12, CLOSE = 13, LOGIN = 18, ATTRIBUTE = 24, SIGN_INIT = 42,
       SIGN = 43 };
static const U BAD_SLOT = 77777;

static struct list own, *real;
static const char *fault = "";
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static U entitled;      /* the session whose signature the last context login was for */
static int counted, inside, opened, cancelled;

static int is(const char *kind) {
    size_t size = strlen(kind);
    for (const char *at = fault; (at = strstr(at, kind)); at += size)
        if ((at == fault || at[-1] == ' ') && (at[size] == 0 || at[size] == ' ')) return 1;
    return 0;
}

static int strikes(const char *how, const char *name) {
    char word[64];
    snprintf(word, sizeof word, "%s:%s", how, name);
    return is(word);
}

static void note(const char *line) {
    FILE *log = fopen(getenv("FAULTY_LOG"), "a");
    fprintf(log, "%s\n", line);
    fclose(log);
}

static void strike(const char *name) {
    if (strikes("hang", name)) {
        note("hangs");
        for (;;) sleep(3600);
    }
    if (strikes("exit", name)) _exit(0); /* exit() would run destructors of what other threads are using */
    if (strikes("abort", name)) { fputs("assertion failed in the vendor's code\n", stderr); abort(); }
}

static U initialize(struct arguments *given) {
    strike("C_Initialize");
    if (is("loner") && given && given->flags & 2) return 0x0A;
    if (is("parameters")) {
        const char *wanted = getenv("FAULTY_PARAMETERS");
        if (!given || !given->parameters || strcmp(given->parameters, wanted)) return 0x07;
        struct arguments plain = {.flags = given->flags};
        return real->calls[INITIALIZE](&plain);
    }
    return real->calls[INITIALIZE](given);
}

static U finalize(void *reserved) {
    strike("C_Finalize");
    return real->calls[FINALIZE](reserved);
}

static U open_session(U slot, U flags, void *application, void *notify, U *session) {
    if (is("memory") && __sync_add_and_fetch(&opened, 1) > 2) return 0x31;
    return real->calls[OPEN](slot, flags, application, notify, session);
}

static U close_session(U session) {
    strike("C_CloseSession");
    return real->calls[CLOSE](session);
}

static U slots(unsigned char present, U *list, U *count) {
    U room = *count;
    strike("C_GetSlotList");
    if (is("slot")) {
        U result = real->calls[SLOTS](present, list ? list + 1 : NULL, count);
        *count += 1;
        if (list && room < *count) return 0x150;
        if (list) list[0] = BAD_SLOT;
        return result;
    }
    if (is("endless") && !list) { *count = (U)-1 / 2; return 0; }
    if (is("grow") && !list && counted++ < 2) {
        U result = real->calls[SLOTS](present, NULL, count);
        *count = *count > 2 ? *count - 2 : 0;
        return result;
    }
    if (is("grow") && list && counted++ < 3) { *count = room + 1; return 0x150; }
    return real->calls[SLOTS](present, list, count);
}

static U token(U slot, struct information *told) {
    strike("C_GetTokenInfo");
    if (slot == BAD_SLOT) return 0x30;
    U result = real->calls[TOKEN](slot, told);
    if (result == 0 && is("final")) told->flags |= 0x20000;
    if (result == 0 && is("pad")) told->flags |= 0x100;
    if (result == 0 && is("optional")) told->flags &= ~4UL;
    return result;
}

static U login(U session, U user, const char *pin, U length) {
    strike("C_Login");
    char line[64];
    snprintf(line, sizeof line, "C_Login %lu %s", user, pin ? "pin" : "pad");
    note(line);
    const char *right = getenv("FAULTY_RIGHT") + 1, *typed = getenv("FAULTY_TYPED");
    if (is("pad") && !pin) {
        pin = typed ? typed + 1 : right;
        length = strlen(pin);
    }
    if (user == 2) {
        if (is("cancel") && !__sync_lock_test_and_set(&cancelled, 1)) return 0x50;
        if (!pin || length != strlen(right) || memcmp(pin, right, length)) return 0xA0;
        pthread_mutex_lock(&lock); entitled = session; pthread_mutex_unlock(&lock);
        return 0;
    }
    return real->calls[LOGIN](session, user, pin, length);
}

static U attribute(U session, U object, struct attribute *wanted, U count) {
    if (is("always") && count == 1 && wanted->type == 0x202) {
        if (wanted->value) *(char *)wanted->value = 1;
        wanted->length = 1;
        return 0;
    }
    if (is("expired") && count == 1 && wanted->type == 0x111) {
        if (wanted->value) memcpy(wanted->value, "20200131", 8);
        wanted->length = 8;
        return 0;
    }
    if (is("unavailable") && count == 1 && wanted->type == 0x120) {
        U class = 0;
        struct attribute of = {0, &class, sizeof class};
        real->calls[ATTRIBUTE](session, object, &of, 1UL);
        if (class == 3) { wanted->length = (U)-1; return 0; }
    }
    return real->calls[ATTRIBUTE](session, object, wanted, count);
}

static U sign_init(U session, void *mechanism, U key) {
    strike("C_SignInit");
    pthread_mutex_lock(&lock); entitled = 0; pthread_mutex_unlock(&lock);
    return real->calls[SIGN_INIT](session, mechanism, key);
}

static U sign(U session, void *data, U size, void *signature, U *length) {
    strike("C_Sign");
    if (is("refuse:C_Sign")) return 0x05;
    if (is("loner")) {
        if (__sync_add_and_fetch(&inside, 1) > 1) abort();
        usleep(20000);
    }
    if (is("always")) {
        pthread_mutex_lock(&lock);
        int mine = entitled == session;
        pthread_mutex_unlock(&lock);
        if (!mine) return 0x101;
    }
    U result = real->calls[SIGN](session, data, size, signature, length);
    if (is("garbage")) *length = (U)-1;
    if (is("loner")) __sync_sub_and_fetch(&inside, 1);
    return result;
}

U C_GetFunctionList(struct list **told) {
    if (!real) {
        void *module = dlopen(getenv("FAULTY_MODULE"), RTLD_NOW);
        U (*get)(struct list **) = (U (*)(struct list **))dlsym(module, "C_GetFunctionList");
        if (getenv("FAULTY")) fault = getenv("FAULTY");
        if (get(&real)) return 5;
        own = *real;
        own.calls[INITIALIZE] = (Call)initialize; own.calls[FINALIZE] = (Call)finalize;
        own.calls[OPEN] = (Call)open_session; own.calls[CLOSE] = (Call)close_session; own.calls[SLOTS] = (Call)slots; own.calls[TOKEN] = (Call)token;
        own.calls[LOGIN] = (Call)login; own.calls[ATTRIBUTE] = (Call)attribute;
        own.calls[SIGN_INIT] = (Call)sign_init; own.calls[SIGN] = (Call)sign;
    }
    *told = &own;
    return 0;
}
