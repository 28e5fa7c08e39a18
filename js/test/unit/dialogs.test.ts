/** Editing, approving and retrying, from the click to what the kernel is told. */
import { describe, expect, it, vi } from "vitest";
import { NODES } from "../../dev/fixture";
import { cleanUpAfterEach, mount, type Setting } from "./mounted";

cleanUpAfterEach();

const FINISHED = { status: "failed", elapsed: 96, can: ["retry", "edit", "answer"] } as const;

async function openedAt(id: string, setting: Setting = { run: FINISHED }) {
  const widget = await mount(setting);
  widget.row(id)?.click();
  await vi.waitFor(() => expect(widget.el.querySelector(".rn-details")).not.toBeNull());
  const dialog = () => widget.el.querySelector<HTMLDialogElement>("dialog");
  const commands = (op: string) => widget.model.sent.filter((message) => message.t === "cmd" && message.op === op);
  const write = (area: Element | null | undefined, text: string): void => {
    (area as HTMLTextAreaElement).value = text;
    area?.dispatchEvent(new Event("input", { bubbles: true }));
  };
  return { ...widget, dialog, commands, write };
}

async function editing(id: string) {
  const widget = await openedAt(id);
  widget.button("Edit & re-run")?.click();
  await vi.waitFor(() => expect(widget.el.querySelector("dialog textarea")).not.toBeNull());
  const choose = async (part: string): Promise<void> => {
    const label = [...widget.el.querySelectorAll("dialog label")].find((each) => each.textContent === part);
    label?.querySelector("input")?.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(widget.el.querySelector("dialog .rn-hint")?.textContent).not.toBe(""));
  };
  const preview = () => widget.el.querySelector(".rn-preview")?.textContent;
  return { ...widget, choose, preview };
}

describe("edit and re-run", () => {
  it("says what will run again and what it costs before anything does", async () => {
    const { dialog, write, preview, button, commands, el } = await editing("0.1.1.1");
    expect(preview()).toContain("Change something");
    expect(button("Run again")?.getAttribute("aria-disabled")).toBe("true");

    write(dialog()?.querySelector("textarea"), "Energy density, in Wh/kg");
    await vi.waitFor(() => expect(preview()).toContain("4 nodes run again · about 8 calls · 12k tokens · $0.044"));
    expect(preview()).toContain("Compare storage chemistries");
    expect(commands("edit")).toEqual([]);

    button("Run again")?.click();
    await vi.waitFor(() => expect(dialog()).toBeNull());
    expect(commands("edit")).toMatchObject([{ id: "0.1.1.1", args: { task: "Energy density, in Wh/kg" } }]);
    await vi.waitFor(() => expect(el.querySelector(".rn-header")?.textContent).toContain("edited from market-landscape"));
  });

  it("changes the plan: order, deletion, addition", async () => {
    const { choose, button, write, el, dialog, commands, preview } = await editing("0.1.1.1");
    await choose("Plan");
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-step")).toHaveLength(3));

    button("Move sub-task 1 down")?.click();
    await vi.waitFor(() => expect(el.querySelector(".rn-step textarea")).toHaveProperty("value", "Read peer-reviewed results"));
    button("Delete sub-task 1")?.click();
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-step")).toHaveLength(2));
    button("Add a sub-task")?.click();
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-step")).toHaveLength(3));
    write([...el.querySelectorAll(".rn-step textarea")].at(-1), "Compare with lithium");
    await vi.waitFor(() => expect(preview()).toContain("run again"));
    button("Run again")?.click();

    await vi.waitFor(() => expect(dialog()).toBeNull());
    expect(commands("edit")).toMatchObject([
      {
        args: {
          plan: {
            decision: "RECURSE",
            sub_tasks: [
              { description: "Read patent abstracts (n = 212)", depends_on: [] },
              { description: "Fit learning-rate model", agent: "coder", depends_on: [0] },
              { description: "Compare with lithium", agent: null, depends_on: [] },
            ],
          },
        },
      },
    ]);
  });

  it("puts another result in place of the model's", async () => {
    const { choose, write, dialog, commands, button, preview } = await editing("0.1.1.1.0");
    await choose("Result");
    await vi.waitFor(() => expect(dialog()?.querySelector("textarea")?.value).toContain("165 Wh/kg"));
    write(dialog()?.querySelector("textarea"), "170 Wh/kg");
    await vi.waitFor(() => expect(preview()).toContain("run again"));
    button("Run again")?.click();

    await vi.waitFor(() => expect(commands("edit")).toMatchObject([{ args: { result: "170 Wh/kg" } }]));
  });

  it("shows why an edit cannot be made, and does not make it", async () => {
    const { model, write, dialog, commands, button, preview } = await editing("0.1.1.1");
    model.refusals["preview"] = "node 0.1.1.1 cannot split at depth 3";
    write(dialog()?.querySelector("textarea"), "Something else");
    await vi.waitFor(() => expect(preview()).toContain("cannot split"));
    button("Run again")?.click();

    expect(commands("edit")).toEqual([]);
    expect(dialog()).not.toBeNull();
  });

  it("stays open with the reason when the kernel refuses", async () => {
    const { model, write, dialog, button, preview } = await editing("0.1.1.1");
    model.refusals["edit"] = "the budget is spent";
    write(dialog()?.querySelector("textarea"), "Something else");
    await vi.waitFor(() => expect(preview()).toContain("run again"));
    button("Run again")?.click();

    await vi.waitFor(() => expect(dialog()?.querySelector('[role="alert"]')?.textContent).toBe("the budget is spent"));
  });
});

describe("approval", () => {
  const setting = {
    run: { can: ["cancel", "approve"] },
    nodes: NODES.map((node) => ({ ...node, awaiting: node.id === "0.1" ? "a1" : "" })),
  };

  it("is asked for where it cannot be overlooked, and given for the plan as it is", async () => {
    const { el, button, commands, dialog } = await openedAt("0", setting);
    expect(el.querySelector(".rn-banner")?.textContent).toContain("waits for your approval: Compare storage chemistries");
    button("Review plan")?.click();
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-step")).toHaveLength(4));
    expect(dialog()?.textContent).toContain("Three sources of evidence differ.");
    button("Approve")?.click();

    await vi.waitFor(() => expect(dialog()).toBeNull());
    expect(commands("approve")).toMatchObject([{ id: "0.1", args: { request: "a1" } }]);
    await vi.waitFor(() => expect(el.querySelector(".rn-banner")).toBeNull());
  });

  it("says what it will cost, also for another plan", async () => {
    const { el, button, commands } = await openedAt("0", setting);
    button("Review plan")?.click();
    await vi.waitFor(() =>
      expect(el.querySelector(".rn-estimate")?.textContent).toBe("About 5 to 21 calls · 7.5k to 32k tokens · $0.050 to $0.21"),
    );
    button("Delete sub-task 4")?.click();
    await vi.waitFor(() => expect(commands("estimate")).toHaveLength(2));
    expect(commands("estimate")).toMatchObject([{ args: { request: "a1" } }, { args: { plan: { sub_tasks: [{}, {}, {}] } } }]);
  });

  it("is refused with a reason", async () => {
    const { button, commands, dialog, write } = await openedAt("0", setting);
    button("Review plan")?.click();
    await vi.waitFor(() => expect(button("Reject…")?.getAttribute("aria-disabled")).toBe("false"));
    button("Reject…")?.click();
    await vi.waitFor(() => expect(dialog()?.querySelector(".rn-reason textarea")).not.toBeNull());
    write(dialog()?.querySelector(".rn-reason textarea"), "no patents");
    await vi.waitFor(() => expect(dialog()?.querySelector<HTMLTextAreaElement>(".rn-reason textarea")?.value).toBe("no patents"));
    button("Reject the plan")?.click();

    await vi.waitFor(() => expect(dialog()).toBeNull());
    expect(commands("reject")).toMatchObject([{ id: "0.1", args: { request: "a1", reason: "no patents" } }]);
    expect(commands("approve")).toEqual([]);
  });

  it("is given for all that is left", async () => {
    const { button, commands } = await openedAt("0", setting);
    button("Review plan")?.click();
    await vi.waitFor(() => expect(button("Approve all that is left")?.getAttribute("aria-disabled")).toBe("false"));
    button("Approve all that is left")?.click();

    await vi.waitFor(() => expect(commands("approve")).toMatchObject([{ args: { request: "a1", rest: true } }]));
  });

  it("never moves on to the request that follows", async () => {
    const { button, commands, dialog, model } = await openedAt("0", setting);
    button("Review plan")?.click();
    await vi.waitFor(() => expect(button("Approve")?.getAttribute("aria-disabled")).toBe("false"));
    model.frame([["p", "0.1", { awaiting: "a2" }]]);
    await vi.waitFor(() => expect(dialog()?.textContent).toContain("decided already"));
    button("Approve")?.click();
    button("Approve all that is left")?.click();

    expect(button("Approve")?.getAttribute("aria-disabled")).toBe("true");
    expect(commands("approve")).toEqual([]);
  });

  it("is sent once by a double click", async () => {
    const { button, commands, dialog } = await openedAt("0", setting);
    button("Review plan")?.click();
    await vi.waitFor(() => expect(button("Approve")?.getAttribute("aria-disabled")).toBe("false"));
    const approve = button("Approve");
    approve?.click();
    approve?.click();
    await vi.waitFor(() => expect(dialog()).toBeNull());
    approve?.click();

    for (const each of commands("approve")) expect(each).toMatchObject({ args: { request: "a1" } });
  });

  it("is given for another plan", async () => {
    const { el, button, commands } = await openedAt("0", setting);
    button("Review plan")?.click();
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-step")).toHaveLength(4));
    button("Delete sub-task 4")?.click();
    await vi.waitFor(() => expect(button("Approve the changed plan")).toBeDefined());
    button("Approve the changed plan")?.click();

    await vi.waitFor(() => expect(commands("approve")).toHaveLength(1));
    expect(commands("approve")).toMatchObject([{ args: { plan: { sub_tasks: [{}, {}, {}] } } }]);
  });
});

describe("approval of calls of tools", () => {
  const setting = {
    run: { can: ["cancel", "approve"] },
    nodes: NODES.map((node) => (node.id === "0.1" ? { ...node, decision: "EXECUTE" as const, awaiting: "a1" } : node)),
  };

  it("shows what would be called with what, and is given for all of it", async () => {
    const { el, button, commands, dialog } = await openedAt("0", setting);
    expect(el.querySelector(".rn-banner")?.textContent).toContain("Tool calls wait for your approval");
    button("Review calls")?.click();
    await vi.waitFor(() => expect(button("Allow 1 call")).toBeDefined());
    expect(dialog()?.textContent).toContain("search");
    expect(dialog()?.textContent).toContain("query");
    button("Allow 1 call")?.click();

    await vi.waitFor(() => expect(dialog()).toBeNull());
    expect(commands("approve")).toMatchObject([{ id: "0.1", args: { request: "a1" } }]);
  });
});

describe("after a failure", () => {
  it("one node or all that failed can be tried again, or what there is be joined", async () => {
    const { button, commands, model } = await openedAt("0.2.2.2");
    model.refusals["retry"] = "not now";
    button("Retry")?.click();
    expect(commands("retry")).toMatchObject([{ id: "0.2.2.2" }]);
    await vi.waitFor(() => expect(button("Retrying…")).toBeDefined());
    await vi.waitFor(() => expect(button("Retry")).toBeDefined());
    button("Retry all failed")?.click();
    button("Answer with what there is")?.click();

    expect(commands("retry").at(-1)).not.toHaveProperty("id");
    expect(commands("answer")).toHaveLength(1);
  });

  it("what was wrong is said, and tasks that were only cancelled did not fail", async () => {
    const { el, button, model } = await openedAt("0");
    expect(el.querySelector(".rn-banner")?.textContent).toContain("1 node failed: HTTP 429 ×3");
    model.frame([["p", "0.2.2.2", { state: "cancelled" }]]);
    await vi.waitFor(() => expect(button("Run the cancelled again")).toBeDefined());
    expect(button("Retry all failed")).toBeUndefined();
    expect(el.querySelector(".rn-banner")?.textContent).toContain("2 nodes cancelled");
  });

  it("the reason is one click away", async () => {
    const { button, el } = await openedAt("0");
    button("Show why")?.click();

    await vi.waitFor(() => expect(el.querySelector(".rn-details h3")?.textContent).toBe("CAISO"));
    expect(el.querySelector(".rn-note")?.textContent).toBe("HTTP 429 ×3");
  });
});

describe("a copy without a kernel", () => {
  it("shows details but nothing to command", async () => {
    const { el, button } = await openedAt("0.2.2.2", { run: { ...FINISHED, can: ["retry", "edit", "answer", "cancel", "pause"], readonly: true } });

    for (const name of ["Retry", "Edit & re-run", "Retry all failed", "Answer with what there is", "Cancel", "Pause"]) {
      expect(button(name)).toBeUndefined();
    }
    expect(button("Copy output")).toBeDefined();
    expect(el.querySelector(".rn-details h3")?.textContent).toBe("CAISO");
  });
});

describe("a node that is at work", () => {
  it("can be cancelled alone", async () => {
    const { button, commands, row } = await openedAt("0.2.2.3", {});
    button("Cancel node")?.click();

    expect(commands("cancel")).toMatchObject([{ id: "0.2.2.3" }]);
    await vi.waitFor(() => expect(row("0.2.2.3")?.dataset["state"]).toBe("cancelled"));
  });
});
