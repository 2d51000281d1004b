/** What JSON values are made of: finds the first part of a value that is not what it must be. */

export type Json = Record<string, unknown>;

/** The place of the first fault in a value that is at `place`, null where there is none. */
export type Shape = (value: unknown, place: string) => string | null;

/** Whether a JSON value is an object. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export const text: Shape = (value, place) => (typeof value === "string" ? null : place);
export const number: Shape = (value, place) => (typeof value === "number" ? null : place);
export const flag: Shape = (value, place) => (typeof value === "boolean" ? null : place);

/** Null, or left out as by a version that did not know it, or of that shape. */
export function maybe(shape: Shape): Shape {
  return (value, place) => (value === undefined || value === null ? null : shape(value, place));
}

export function listOf(shape: Shape): Shape {
  return (value, place) => {
    if (!Array.isArray(value)) return place;
    for (const [index, item] of value.entries()) {
      const fault = shape(item, `${place}[${index}]`);
      if (fault !== null) return fault;
    }
    return null;
  };
}

/** Each of `keys` has its shape; others may be there, as newer versions write them. */
export function objectOf(keys: Record<string, Shape>): Shape {
  const shapes = Object.entries(keys);
  return (value, place) => {
    if (!isObject(value)) return place;
    for (const [key, shape] of shapes) {
      const fault = shape(value[key], place ? `${place}.${key}` : key);
      if (fault !== null) return fault;
    }
    return null;
  };
}

/** An object whose values, whatever their keys, have that shape. */
export function mapOf(shape: Shape): Shape {
  return (value, place) => (isObject(value) ? listOf(shape)(Object.values(value), place) : place);
}
