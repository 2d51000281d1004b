/** Puts a text on the clipboard, and says whether it is there. */
import { useState } from "react";

const SAID_MS = 2000;

export function CopyButton({ text, label }: { text: () => string; label: string }) {
  const [said, setSaid] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      setSaid("Copied");
    } catch {
      setSaid("The browser does not permit it");
    }
    setTimeout(() => { setSaid(""); }, SAID_MS);
  };
  return (
    <>
      <button type="button" onClick={() => { void copy(); }}>{label}</button>
      <span role="status" className="said">{said}</span>
    </>
  );
}
