/* A PKCS#11 module that hands each call on to another one (FAULTY_MODULE), and goes wrong as FAULTY says:
 *
 *   hang:C_Sign      never answers          exit:C_Sign      calls exit(0)       abort:C_Login   crashes
 *   refuse:C_Sign    CKR_GENERAL_ERROR      slot             one more slot, which answers CKR_DEVICE_ERROR
 *   grow             the slot list is one longer when it is read than when it was counted
 *   final            the token says that one more wrong PIN locks it
 *   pad              the token has a PIN pad: C_Login without a PIN logs in
 *   always           the key wants a login for each signature, which another session's C_SignInit ends
 *   loner            the module does not know threads (CKR_CANT_LOCK), and a second thread in it is a crash
 *   parameters       C_Initialize wants the text of FAULTY_PARAMETERS where NSS has it
 *
 * FAULTY_RIGHT is the right PIN behind a mark: a variable that holds a PIN alone does not get here.
 * Structures: pkcs11t.h of PKCS #11 2.40, natural alignment. Every C_Login is written to FAULTY_LOG. */
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

enum { INITIALIZE = 0, SLOTS = 4, TOKEN = 6, LOGIN = 18, ATTRIBUTE = 24, SIGN_INIT = 42, SIGN = 43 };
static const struct { const char *name; int place; } NAMES[] = {
    {"C_Initialize", INITIALIZE}, {"C_GetSlotList", SLOTS}, {"C_GetTokenInfo", TOKEN}, {"C_Login", LOGIN},
    {"C_SignInit", SIGN_INIT}, {"C_Sign", SIGN}};
static const U BAD_SLOT = 77777;

static struct list own, *real;
static const char *fault = "";
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static U entitled;      /* the session whose signature the last context login was for */
static int counted, inside;

static int is(const char *kind) { return strcmp(fault, kind) == 0; }

static void strike(int place) {
    const char *colon = strchr(fault, ':');
    for (unsigned i = 0; colon && i < sizeof NAMES / sizeof *NAMES; i++)
        if (NAMES[i].place == place && strcmp(colon + 1, NAMES[i].name) == 0) {
            if (strncmp(fault, "hang", 4) == 0) for (;;) sleep(3600);
            if (strncmp(fault, "exit", 4) == 0) exit(0);
            if (strncmp(fault, "abort", 5) == 0) { fputs("assertion failed in the vendor's code\n", stderr); abort(); }
        }
}

static U initialize(struct arguments *given) {
    strike(INITIALIZE);
    if (is("loner") && given && given->flags & 2) return 0x0A;
    if (is("parameters")) {
        const char *wanted = getenv("FAULTY_PARAMETERS");
        if (!given || !given->parameters || strcmp(given->parameters, wanted)) return 0x07;
        struct arguments plain = {.flags = given->flags};
        return real->calls[INITIALIZE](&plain);
    }
    return real->calls[INITIALIZE](given);
}

static U slots(unsigned char present, U *list, U *count) {
    U room = *count;
    if (is("slot")) {
        U result = real->calls[SLOTS](present, list ? list + 1 : NULL, count);
        *count += 1;
        if (list && room < *count) return 0x150;
        if (list) list[0] = BAD_SLOT;
        return result;
    }
    if (is("grow") && !list && counted++ < 2) {
        U result = real->calls[SLOTS](present, NULL, count);
        *count = *count > 2 ? *count - 2 : 0;
        return result;
    }
    if (is("grow") && list && counted++ < 3) { *count = room + 1; return 0x150; }
    return real->calls[SLOTS](present, list, count);
}

static U token(U slot, struct information *told) {
    strike(TOKEN);
    if (slot == BAD_SLOT) return 0x30;
    U result = real->calls[TOKEN](slot, told);
    if (result == 0 && is("final")) told->flags |= 0x20000;
    if (result == 0 && is("pad")) told->flags |= 0x100;
    return result;
}

static U login(U session, U user, const char *pin, U length) {
    strike(LOGIN);
    FILE *log = fopen(getenv("FAULTY_LOG"), "a");
    fprintf(log, "C_Login %lu %s\n", user, pin ? "pin" : "pad");
    fclose(log);
    const char *right = getenv("FAULTY_RIGHT") + 1;
    if (user == 2) {
        if (length != strlen(right) || memcmp(pin, right, length)) return 0xA0;
        pthread_mutex_lock(&lock); entitled = session; pthread_mutex_unlock(&lock);
        return 0;
    }
    if (is("pad") && !pin) return real->calls[LOGIN](session, user, right, strlen(right));
    return real->calls[LOGIN](session, user, pin, length);
}

static U attribute(U session, U object, struct attribute *wanted, U count) {
    if (is("always") && count == 1 && wanted->type == 0x202) {
        if (wanted->value) *(char *)wanted->value = 1;
        wanted->length = 1;
        return 0;
    }
    return real->calls[ATTRIBUTE](session, object, wanted, count);
}

static U sign_init(U session, void *mechanism, U key) {
    strike(SIGN_INIT);
    pthread_mutex_lock(&lock); entitled = 0; pthread_mutex_unlock(&lock);
    return real->calls[SIGN_INIT](session, mechanism, key);
}

static U sign(U session, void *data, U size, void *signature, U *length) {
    strike(SIGN);
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
        own.calls[INITIALIZE] = (Call)initialize; own.calls[SLOTS] = (Call)slots; own.calls[TOKEN] = (Call)token;
        own.calls[LOGIN] = (Call)login; own.calls[ATTRIBUTE] = (Call)attribute;
        own.calls[SIGN_INIT] = (Call)sign_init; own.calls[SIGN] = (Call)sign;
    }
    *told = &own;
    return 0;
}
