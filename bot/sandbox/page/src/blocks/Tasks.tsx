import { Short } from "../text/Text";
import type { Block } from "../types";
import { RichText } from "./RichText";

const SIGNS: Record<string, string> = { pending: "○", complete: "✓", error: "✕" };

export function Task({ task }: { task: Block }) {
  const status = task.status ?? "pending";
  return (
    <div className={`task ${status}`}>
      <span className="task-sign" role="img" aria-label={status.replace("_", " ")}>
        {status === "in_progress" ? <span className="spinner" /> : (SIGNS[status] ?? "○")}
      </span>
      <div>
        <Short value={task.title} />
        {task.details?.elements && <RichText parts={task.details.elements} />}
        {task.output?.elements && <RichText parts={task.output.elements} />}
      </div>
    </div>
  );
}

export function Plan({ plan }: { plan: Block }) {
  return (
    <div className="plan">
      <strong>
        <Short value={plan.title} />
      </strong>
      {plan.tasks?.map((task, at) => (
        <Task key={at} task={task} />
      ))}
    </div>
  );
}
