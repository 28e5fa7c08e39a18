/** A task as Python code that does it again with the API. */

import type { PythonCode } from "../protocol/messages";

/** Escapes invisible and direction-changing characters: code must be what it looks like. */
const HIDDEN = /[\u007f-\u00a0\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A JSON string is a Python string too. */
const literal = (text: string): string => JSON.stringify(text).replace(HIDDEN, escaped);

function taskLiteral(task: string): string {
  const lines = task.split(/(?<=\n)/);
  if (lines.length < 2) return literal(task);
  return `(\n${lines.map((line) => `    ${literal(line)}`).join("\n")}\n)`;
}

/** The kernel knows what the model, the agents and the tools are called in the notebook. */
export function pythonOf(task: string, { engine, solve, note }: PythonCode): string {
  const blocks = !engine.startsWith("Async");
  return [
    `from rlm_notebook import ${blocks ? "" : "Async"}RecursiveEngine`,
    "",
    ...(note === "" ? [] : [note]),
    `engine = ${engine}`,
    `task = ${taskLiteral(task)}`,
    `output = ${blocks ? "" : "await "}engine.solve(task${solve})`,
    "print(output)",
    "",
  ].join("\n");
}
