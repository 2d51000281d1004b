/** Makes untrusted text fit to be shown: file names, certificate subjects, details of checks. */

// Controls, formats, surrogates, line and paragraph separators, unassigned: they have no shape of their own.
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Cn}]/gu;
const PRINTABLE = /^[\x20-\x7e]*$/;

/** `text` with each character that has no shape as an escape; nothing is dropped, so names that differ look different. */
export function visible(text: string): string {
  return PRINTABLE.test(text) ? text : text.replace(HIDDEN, escape);
}

/** `text` cut to `limit` characters, then made visible; an ellipsis says that something is missing. */
export function clipped(text: string, limit = 300): string {
  return text.length <= limit ? visible(text) : `${visible(text.slice(0, limit - 1))}…`;
}

function escape(character: string): string {
  const code = (character.codePointAt(0) ?? 0).toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, "0")}`;
  return code.length <= 4 ? `\\u${code.padStart(4, "0")}` : `\\U${code.padStart(8, "0")}`;
}
