/** The sub-tasks of a plan as a list to reorder, delete, add to and rewrite. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { withAdded, withMoved, withoutStep, withStep, type PlanDraft, type Step } from "../store/plan_draft";
import { clip } from "./format";
import { Icon, type IconName } from "./icons";
import { wrapOf } from "./plain_text";

/** An element that may have been moved, or a selector of one that may be new. */
type Focus = Element | string | null;

export interface PlanEditorProperties {
  readonly draft: PlanDraft;
  onChange(draft: PlanDraft): void;
}

function StepButton({ label, icon, disabled = false, press }: {
  label: string;
  icon: IconName;
  disabled?: boolean;
  press(button: Element): void;
}) {
  return (
    <button
      type="button"
      class="rn-button rn-square"
      aria-label={label}
      title={label}
      aria-disabled={disabled}
      onClick={(event) => !disabled && press(event.currentTarget)}
    >
      <Icon name={icon} />
    </button>
  );
}

/** What a step waits for, by its place in the list as it is now. */
function conditions(step: Step, steps: readonly Step[]): string {
  const places = step.after.map((key) => steps.findIndex((other) => other.key === key) + 1);
  const after = places.filter((place) => place > 0).sort((first, second) => first - second);
  return after.length > 0 ? `after ${after.join(", ")}` : "";
}

function StepRow({ step, place, draft, onChange, say }: PlanEditorProperties & {
  step: Step;
  place: number;
  /** Announces a change to screen readers, and says where the focus moves. */
  say(sentence: string, focus: Focus): void;
}) {
  const { steps } = draft;
  const number = place + 1;
  const move = (by: 1 | -1, focused: Element): void => {
    if (!steps[place + by]) return;
    onChange(withMoved(draft, step.key, by));
    say(`Sub-task ${number} is now number ${number + by}.`, focused);
  };
  const remove = (): void => {
    const next = steps[place + 1] ?? steps[place - 1];
    onChange(withoutStep(draft, step.key));
    say(`Sub-task ${number} was removed.`, next ? `[data-step="${next.key}"] textarea` : ".rn-add-step");
  };
  const facts = [conditions(step, steps), step.agent ?? ""].filter((fact) => fact !== "").join(" · ");
  const onKeyDown = (event: KeyboardEvent): void => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key] as 1 | -1 | undefined;
    if (!event.altKey || by === undefined) return;
    event.preventDefault();
    move(by, event.target as Element);
  };
  return (
    <li class="rn-step" data-step={step.key} onKeyDown={onKeyDown}>
      <span class="rn-step-number">{number}</span>
      <div class="rn-step-text">
        <textarea
          rows={2}
          aria-label={`Sub-task ${number}`}
          wrap={wrapOf(step.description)}
          value={step.description}
          onInput={(event) => onChange(withStep(draft, step.key, event.currentTarget.value))}
        />
        {facts !== "" && <small>{clip(facts)}</small>}
      </div>
      <div class="rn-step-buttons">
        <StepButton label={`Move sub-task ${number} up`} icon="up" disabled={place === 0} press={(button) => move(-1, button)} />
        <StepButton label={`Move sub-task ${number} down`} icon="unfold" disabled={place === steps.length - 1} press={(button) => move(1, button)} />
        <StepButton label={`Delete sub-task ${number}`} icon="delete" press={remove} />
      </div>
    </li>
  );
}

export function PlanEditor({ draft, onChange }: PlanEditorProperties) {
  const list = useRef<HTMLDivElement>(null);
  const [announcement, announce] = useState<{ sentence: string; focus: Focus }>({ sentence: "", focus: null });
  useLayoutEffect(() => {
    const { focus } = announcement;
    const target = typeof focus === "string" ? list.current?.querySelector(focus) : focus;
    if (target instanceof HTMLElement) target.focus();
  }, [announcement]);
  const say = (sentence: string, focus: Focus): void => announce({ sentence, focus });
  const add = (): void => {
    const added = withAdded(draft);
    onChange(added);
    say("A sub-task was added.", `[data-step="${added.steps.at(-1)?.key}"] textarea`);
  };
  return (
    <div class="rn-plan" ref={list}>
      {draft.steps.length === 0 && <p class="rn-empty">No sub-tasks: the task is answered by one call.</p>}
      <ol>
        {draft.steps.map((step, place) => (
          <StepRow key={step.key} step={step} place={place} draft={draft} onChange={onChange} say={say} />
        ))}
      </ol>
      <button type="button" class="rn-button rn-add-step" onClick={add}>
        <Icon name="add" />
        Add a sub-task
      </button>
      <div class="rn-hidden" role="status">
        {announcement.sentence}
      </div>
    </div>
  );
}
