// Mock providers for tests/notebook/test_aimock.py: prints its URL, and ends when its standard input does.
//
// What is answered depends on the mode (told by the system prompt) and on words of the task, never on the provider: one
// set of fixtures is served as chat completions, as responses and as messages.
import { LLMock } from "@copilotkit/aimock";

const textOf = (content) =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join("");
const system = (request) =>
  request.messages.filter((m) => m.role === "system" || m.role === "developer").map((m) => textOf(m.content)).join("\n");
const lastUser = (request) => textOf(request.messages.findLast((m) => m.role === "user")?.content);
const task = (request) => lastUser(request).split("# Task\n").at(-1).split("\n# ")[0].trim();
const mode = (request) =>
  system(request).startsWith("You are the planner") ? "planner" : system(request).startsWith("You join") ? "synthesizer" : "worker";
const asked = (wanted, words) => (request) => mode(request) === wanted && words.test(task(request));

const plan = (answer, parts = []) =>
  JSON.stringify({
    thoughts: "",
    decision: parts.length ? "RECURSE" : "EXECUTE",
    answer,
    sub_tasks: parts.map((description) => ({ description, assigned_agent: null, depends_on: [] })),
  });

const once = (wanted, words, response, options) => ({
  match: { predicate: asked(wanted, words), sequenceIndex: 0 },
  response,
  ...options,
});
const always = (wanted, words, response) => ({ match: { predicate: asked(wanted, words) }, response });

const fixtures = [
  // One failure each, of the first part only: what follows is the same as without it.
  once("planner", /flights.*limited/, { error: { message: "Slow down", type: "rate_limit_error" }, status: 429, retryAfter: 1 }),
  once("planner", /flights.*broken/, { error: { message: "Oops", type: "server_error" }, status: 500 }),
  once("planner", /flights.*cut/, { content: plan("Flights at nine, ".repeat(20)) }, { truncateAfterChunks: 3 }),
  once("planner", /flights.*dropped/, { content: plan("never seen") }, { chaos: { disconnectRate: 1 } }),
  once("planner", /flights.*garbled/, { content: plan("never seen") }, { chaos: { malformedRate: 1 } }),
  always("planner", /refused/, { error: { message: "Incorrect API key provided", type: "authentication_error" }, status: 401 }),

  {
    match: { predicate: asked("planner", /^Plan a trip/) },
    response: (request) => {
      const how = task(request).replace("Plan a trip", "").trim();
      return { content: plan(null, [`Find flights ${how}`.trim(), `Find a hotel ${how}`.trim()]) };
    },
  },
  always("planner", /^Find flights/, { content: plan("Flights leave at nine.") }),
  always("planner", /^Find a hotel/, { content: plan("The hotel is downtown.") }),
  always("synthesizer", /^Plan a trip/, {
    content: "Fly at nine [0.0], sleep downtown [0.1].",
    // The names of OpenAI and of Anthropic.
    usage: { prompt_tokens: 100, completion_tokens: 7, input_tokens: 100, output_tokens: 7 },
  }),

  always("planner", /weather/, { content: plan(null) }),
  {
    match: { predicate: asked("worker", /weather/), hasToolResult: false },
    response: {
      toolCalls: [
        { id: "call_oslo", name: "weather", arguments: JSON.stringify({ city: "Oslo" }) },
        { id: "call_rome", name: "weather", arguments: JSON.stringify({ city: "Rome" }) },
      ],
    },
  },
  {
    match: { predicate: asked("worker", /weather/), hasToolResult: true },
    response: (request) => ({
      content: request.messages.filter((m) => m.role === "tool").map((m) => textOf(m.content)).join(" and "),
    }),
  },

  always("planner", /^Describe/, { content: plan(null) }),
  always("worker", /^Describe/, { content: JSON.stringify({ name: "Oslo", people: 700000 }) }),
];

const mock = new LLMock({ port: 0, host: "127.0.0.1", chunkSize: 12, fixtures: [] });
mock.addFixtures(fixtures);
await mock.start();
console.log(mock.url);
process.stdin.resume();
process.stdin.on("end", async () => {
  await mock.stop();
  process.exit(0);
});
