/** What the charts share: their width, and the outlines of areas on top of each other. */

/** In units of the drawing, which is as wide as its place. */
export const CHART_WIDTH = 800;

/** Points of SVG polygons. `moments` has the value of each area at each moment; the sum of those of one moment is at most `highest`. */
export function stackedAreas(
  moments: readonly (readonly number[])[], highest: number, width: number, height: number,
): string[] {
  const areas = moments[0]?.length ?? 0;
  const step = width / Math.max(1, moments.length - 1);
  let floor = moments.map(() => 0);
  return Array.from({ length: areas }, (_, area) => {
    const lower = floor;
    const upper = lower.map((value, at) => value + (moments[at]?.[area] ?? 0));
    floor = upper;
    const point = (value: number, at: number) =>
      `${(at * step).toFixed(1)},${(height - (value / highest) * height).toFixed(1)}`;
    return [...upper.map(point), ...lower.map(point).reverse()].join(" ");
  });
}
