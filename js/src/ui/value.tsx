/** Any JSON value as readable text: plans and tool calls have no fixed shape. */
import { isRecord } from "../protocol/messages";
import { clip } from "./format";
import { PlainText } from "./plain_text";

/** Deeper than people read; also what keeps a hostile value from exhausting the stack. */
const DEEPEST = 8;

/** So many items of a list or fields of a record are shown; more would freeze the page. */
const MOST_ITEMS = 500;

function More({ count }: { count: number }) {
  return count > 0 ? <p class="rn-empty">… and {count.toLocaleString("en")} more</p> : null;
}

export function Value({ value, depth = 0 }: { value: unknown; depth?: number }) {
  if (typeof value === "string") return <PlainText text={value} />;
  if (depth >= DEEPEST) return <span>…</span>;
  if (Array.isArray(value)) {
    return (
      <>
        <ol class="rn-value">
          {value.slice(0, MOST_ITEMS).map((item) => (
            <li>
              <Value value={item} depth={depth + 1} />
            </li>
          ))}
        </ol>
        <More count={value.length - MOST_ITEMS} />
      </>
    );
  }
  return isRecord(value) ? <Fields record={value} depth={depth} /> : <code>{String(value)}</code>;
}

const isEmpty = (value: unknown): boolean => value === null || value === "" || (Array.isArray(value) && value.length === 0);

function Fields({ record, depth }: { record: Record<string, unknown>; depth: number }) {
  const entries = Object.entries(record).filter(([, value]) => !isEmpty(value));
  return (
    <>
      <dl class="rn-value">
        {entries.slice(0, MOST_ITEMS).map(([name, value]) => (
          <>
            <dt>{clip(name).replaceAll("_", " ")}</dt>
            <dd>
              <Value value={value} depth={depth + 1} />
            </dd>
          </>
        ))}
      </dl>
      <More count={entries.length - MOST_ITEMS} />
    </>
  );
}
