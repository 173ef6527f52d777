// The grammar of the API's `filters`: conditions by `;`, values by `|`, a backslash before what is
// meant as it is. What cannot be read here is left as it is, for the server to say what is wrong.

export const OPERATORS = ["==", "!=", "=@", "=~", "=^", ">=", "<=", ">", "<"] as const;
export type Operator = (typeof OPERATORS)[number];
export const WORDS: Record<Operator, string> = {
  "==": "is",
  "!=": "is not",
  "=@": "contains",
  "=~": "matches",
  "=^": "is like",
  ">=": "at least",
  "<=": "at most",
  ">": "more than",
  "<": "less than",
};
export const NONE = "(none)";

export interface Condition {
  /** `source`, `properties.plan`, `did(30d)`. */
  dimension: string;
  operator: Operator;
  values: string[];
}

const CONDITION =
  /^\s*((?:\\.|[^\\=!<>(])+(?:\([^)]*\))?)\s*(==|!=|=~|=@|=\^|>=|<=|>|<|=)([\s\S]*)$/;

/** Parts between unescaped separators. */
export function split(text: string, by: string): string[] {
  const parts: string[] = [];
  let part = "";
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]!;
    if (letter === "\\") part += letter + (text[++at] ?? "");
    else if (letter === by) {
      parts.push(part);
      part = "";
    } else part += letter;
  }
  return [...parts, part];
}

/** The conditions; one that cannot be read has no values and its text as dimension. */
export function readFilters(text: string): Condition[] {
  return split(text, ";")
    .filter((part) => part.trim())
    .map((part) => {
      const found = CONDITION.exec(part);
      if (!found) return { dimension: part.trim(), operator: "==", values: [] };
      const operator = (found[2] === "=" ? "==" : found[2]) as Operator;
      return {
        dimension: unescaped(found[1]!),
        operator,
        values: split(found[3]!, "|").map(unescaped),
      };
    });
}

export function writeFilters(conditions: Condition[]): string {
  return conditions
    .map(({ dimension, operator, values }) =>
      values.length
        ? escapedName(dimension) + operator + values.map((value) => escapedValue(value)).join("|")
        : dimension,
    )
    .join(";");
}

/** The conditions with one more; of the same dimension and `==`, it takes the other's place. */
export function withCondition(text: string, condition: Condition): string {
  const others = readFilters(text).filter(
    (known) =>
      known.dimension !== condition.dimension ||
      known.operator !== condition.operator ||
      condition.operator !== "==",
  );
  return writeFilters([...others, condition]);
}

export function withoutCondition(text: string, index: number): string {
  return writeFilters(readFilters(text).filter((_, at) => at !== index));
}

/** `source is facebook or instagram`. */
export function inWords({ dimension, operator, values }: Condition): string {
  if (!values.length) return dimension;
  const shown = values.map((value) => (value === NONE ? "absent" : value || "empty")).join(" or ");
  return `${nameOf(dimension)} ${WORDS[operator]} ${shown}`;
}

/** A dimension as it is said: `first.source` is the first source. */
export function nameOf(dimension: string): string {
  return dimension
    .replace(/^properties\./, "")
    .replace(/^traits\./, "")
    .replace(/^(visit|first|last)\./, "$1 ")
    .replace(/_/g, " ");
}

function unescaped(text: string): string {
  const inner = text.replace(/^\s+/, "").replace(/((?:^|[^\\])(?:\\\\)*)\s+$/, "$1");
  return inner.replace(/\\([\s\S])/g, "$1");
}

function escapedValue(value: string): string {
  if (value === NONE) return value;
  const inner = value.replace(/[\\;|]/g, "\\$&");
  return inner.replace(/^\s|\s$/g, "\\$&");
}

function escapedName(name: string): string {
  const at = name.startsWith("did(") ? name.length : 0;
  return name.slice(0, at) + name.slice(at).replace(/[\\;=!<>(|]/g, "\\$&");
}
