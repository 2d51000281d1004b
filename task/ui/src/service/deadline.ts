/** Time limits for what others answer. */

/** What `promise` gives, or the error of `late` after that many seconds. */
export async function within<T>(promise: Promise<T>, seconds: number, late: () => Error): Promise<T> {
  let timer = 0;
  const ended = new Promise<never>((_, fail) => { timer = window.setTimeout(() => { fail(late()); }, seconds * 1000); });
  try {
    return await Promise.race([promise, ended]);
  } finally {
    window.clearTimeout(timer);
  }
}
