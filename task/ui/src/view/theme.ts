/** Light or dark: by the system for a page of its own, by the host's colours within Azure DevOps. */

const DARK = "(prefers-color-scheme: dark)";
/** Below this brightness (0 to 255) a background is dark. */
const DARK_BELOW = 128;

export function followSystemTheme(): void {
  const system = window.matchMedia(DARK);
  const apply = () => { setTheme(system.matches); };
  apply();
  system.addEventListener("change", apply);
}

/** The SDK writes the host's colours into the page before it says that they changed. */
export function followHostTheme(): void {
  const apply = () => { setTheme(isDark(getComputedStyle(document.documentElement).getPropertyValue("--background-color"))); };
  apply();
  window.addEventListener("themeApplied", apply);
}

function setTheme(dark: boolean): void {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}

/** Whether a colour as the host writes it, "rgba(30, 30, 30, 1)", "#1e1e1e" or "30, 30, 30", is a dark one. */
function isDark(color: string): boolean {
  const hex = /^\s*#([0-9a-f]{6})/i.exec(color)?.[1];
  const parts = hex
    ? [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16))
    : (color.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);
  const [red, green, blue] = parts;
  if (red === undefined || green === undefined || blue === undefined) return window.matchMedia(DARK).matches;
  return 0.299 * red + 0.587 * green + 0.114 * blue < DARK_BELOW;
}
