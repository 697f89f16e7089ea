import type { ReactNode } from "react";
import { Link, Short } from "../text/Text";
import type { Block } from "../types";
import { RichText } from "./RichText";

const SIGNS: Record<string, string> = { pending: "○", complete: "✓", error: "✕" };

/** One task; its details, output and sources are folded, as in Slack. */
export function Task({ task }: { task: Block }) {
  const status = task.status ?? "pending";
  const sources = task.sources ?? [];
  const title = (
    <>
      <span className="task-sign" role="img" aria-label={status.replace("_", " ")}>
        {status === "in_progress" ? <span className="spinner" /> : (SIGNS[status] ?? "○")}
      </span>
      <span className="task-title">
        <Short value={task.title} />
      </span>
    </>
  );
  const hasMore = task.details ?? task.output ?? sources[0];
  return (
    <div className={`task ${status}`} data-testid="task" data-status={status}>
      {hasMore ? (
        <Fold title={title}>
          {task.details?.elements && <RichText parts={task.details.elements} />}
          {task.output?.elements && <RichText parts={task.output.elements} />}
          {sources.length > 0 && (
            <p className="task-sources">
              {sources.map((source, at) => (
                <Link key={at} url={source.url}>
                  {source.text}
                </Link>
              ))}
            </p>
          )}
        </Fold>
      ) : (
        <div className="task-line">{title}</div>
      )}
    </div>
  );
}

function Fold({ title, children }: { title: ReactNode; children: ReactNode }) {
  return (
    <details>
      <summary className="task-line">
        {title}
        <span className="chevron" aria-hidden="true" />
      </summary>
      <div className="task-more">{children}</div>
    </details>
  );
}

export function Plan({ plan }: { plan: Block }) {
  return (
    <details className="plan" data-testid="plan" open>
      <summary className="task-line">
        <strong className="task-title">
          <Short value={plan.title} />
        </strong>
        <span className="chevron" aria-hidden="true" />
      </summary>
      {plan.tasks?.map((task, at) => (
        <Task key={task.task_id ?? at} task={task} />
      ))}
    </details>
  );
}
