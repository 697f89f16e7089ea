import { useId, type ReactNode } from "react";
import { Markdown } from "../text/Markdown";
import { Line, Mrkdwn, Short, Text } from "../text/Text";
import type { Block, Element, TextObject } from "../types";
import { Chart } from "./Chart";
import { ElementView, Picture } from "./Elements";
import { RichText } from "./RichText";
import { SurfaceContext, blockId, useSurface, type Surface } from "./surface";
import { Task, Plan } from "./Tasks";

const wordsOf = (text: TextObject | string | undefined): string =>
  typeof text === "string" ? text : (text?.text ?? "");

function Section({ block, id }: { block: Block; id: string }) {
  return (
    <div className="section">
      <div className="section-text">
        {block.text && <Text value={block.text} />}
        {block.fields && (
          <div className="fields">
            {block.fields.map((field, at) => (
              <Text key={at} value={field} />
            ))}
          </div>
        )}
      </div>
      {block.accessory && (
        <div className="accessory">
          <ElementView block={id} element={block.accessory} />
        </div>
      )}
    </div>
  );
}

function Context({ block }: { block: Block }) {
  return (
    <div className="context">
      {block.elements?.map((element, at) =>
        element.type === "image" ? (
          <Picture key={at} url={element.image_url ?? ""} alt={element.alt_text ?? ""} />
        ) : (
          <span key={at} className="context-text">
            {element.type === "mrkdwn" ? (
              <Mrkdwn text={wordsOf(element.text)} />
            ) : (
              <Line text={wordsOf(element.text)} plain />
            )}
          </span>
        ),
      )}
    </div>
  );
}

function Actions({ elements, id, small = false }: { elements: Element[]; id: string; small?: boolean }) {
  return (
    <div className={small ? "actions small" : "actions"}>
      {elements.map((element, at) => (
        <ElementView key={element.action_id ?? at} block={id} element={element} />
      ))}
    </div>
  );
}

function Input({ block, id }: { block: Block; id: string }) {
  const { errors } = useSurface();
  const label = useId();
  const below = useId();
  const error = errors[id];
  return (
    <div className={error ? "input invalid" : "input"} data-testid="input" data-block-id={id}>
      <span className="input-label" id={label}>
        <Short value={block.label} />
        {block.optional && <span className="optional"> (optional)</span>}
      </span>
      {block.element && (
        <ElementView
          block={id}
          element={block.element}
          kept={!block.dispatch_action}
          labelledBy={label}
          describedBy={error || block.hint ? below : undefined}
        />
      )}
      {error ? (
        <span className="input-error" id={below} role="alert" data-testid="input-error">
          {error}
        </span>
      ) : (
        block.hint && (
          <span className="input-hint" id={below}>
            <Short value={block.hint} />
          </span>
        )
      )}
    </div>
  );
}

function Table({ block }: { block: Block }) {
  const [head, ...rows] = block.rows ?? [];
  const cells = (row: NonNullable<Block["rows"]>[number], Tag: "th" | "td") =>
    row.map((cell, at) => {
      const settings = block.column_settings?.[at];
      return (
        <Tag
          key={at}
          style={{ textAlign: settings?.align ?? "left" }}
          className={settings?.is_wrapped ? undefined : "nowrap"}
        >
          {cell.type === "rich_text" ? (
            <RichText parts={cell.elements ?? []} />
          ) : (
            <Line text={String(cell.text ?? "")} plain />
          )}
        </Tag>
      );
    });
  return (
    <div className="table-scroll" tabIndex={0}>
      <table>
        {block.caption && <caption>{block.caption}</caption>}
        {head && (
          <thead>
            <tr>{cells(head, "th")}</tr>
          </thead>
        )}
        <tbody>
          {rows.map((row, at) => (
            <tr key={at}>{cells(row, "td")}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function ImageBlock({ block }: { block: Block }) {
  return (
    <figure className="image">
      {block.title && (
        <figcaption>
          <Short value={block.title} />
        </figcaption>
      )}
      <Picture url={block.image_url ?? ""} alt={block.alt_text ?? ""} />
    </figure>
  );
}

function Card({ block, id }: { block: Block; id: string }) {
  return (
    <div className="card">
      {block.title && (
        <strong>
          <Short value={block.title} />
        </strong>
      )}
      {block.subtitle && (
        <span className="context">
          <Short value={block.subtitle} />
        </span>
      )}
      {block.body && <Text value={block.body} />}
      {block.actions && <Actions elements={block.actions} id={id} />}
    </div>
  );
}

function Container({ block }: { block: Block }) {
  const titles = (
    <span className="task-title">
      <strong>
        {block.rich_text_title?.elements ? (
          <RichText parts={block.rich_text_title.elements} />
        ) : (
          <Short value={block.title} />
        )}
      </strong>
      {block.subtitle && (
        <span className="context">
          <Short value={block.subtitle} />
        </span>
      )}
    </span>
  );
  const inner = block.child_blocks?.map((child, at) => <div key={at}>{draw(child, blockId(child, at))}</div>);
  if (!block.is_collapsible) {
    return (
      <div className="card">
        {titles}
        {inner}
      </div>
    );
  }
  return (
    <details className="container" data-testid="container" open={!block.default_collapsed}>
      <summary className="task-line">
        {titles}
        <span className="chevron" aria-hidden="true" />
      </summary>
      <div className="container-body">{inner}</div>
    </details>
  );
}

function draw(block: Block, id: string): ReactNode {
  switch (block.type) {
    case "header":
      return (
        <h3 className="header">
          <Short value={block.text} />
        </h3>
      );
    case "section":
      return <Section block={block} id={id} />;
    case "context":
      return <Context block={block} />;
    case "divider":
      return <hr />;
    case "actions":
      return <Actions elements={block.elements ?? []} id={id} />;
    case "context_actions":
      return <Actions elements={block.elements ?? []} id={id} small />;
    case "input":
      return <Input block={block} id={id} />;
    case "markdown":
      return <Markdown text={wordsOf(block.text)} />;
    case "rich_text":
      return <RichText parts={block.elements ?? []} />;
    case "table":
    case "data_table":
      return <Table block={block} />;
    case "data_visualization":
      return block.chart && <Chart title={wordsOf(block.title)} chart={block.chart} />;
    case "image":
      return <ImageBlock block={block} />;
    case "alert":
      return (
        <div className={`alert ${block.level ?? "default"}`}>
          <Text value={block.text} />
        </div>
      );
    case "card":
      return <Card block={block} id={id} />;
    case "carousel":
      return (
        <div className="carousel" tabIndex={0}>
          {(block.elements as Block[] | undefined)?.map((card, at) => (
            <Card key={at} block={card} id={blockId(card, at)} />
          ))}
        </div>
      );
    case "container":
      return <Container block={block} />;
    case "task_card":
      return <Task task={block} />;
    case "plan":
      return <Plan plan={block} />;
    default:
      return (
        <details className="unknown">
          <summary>A block of type “{block.type}”, which the sandbox does not draw</summary>
          <pre>{JSON.stringify(block, null, 2)}</pre>
        </details>
      );
  }
}

/** A message's blocks get new ids with each update, and stay what they are by their place. */
const keyOf = (block: Block, at: number, surface: Surface): string =>
  surface.container === "view" ? blockId(block, at) : `${at} ${block.type}`;

export function Blocks({ blocks, surface }: { blocks: Block[]; surface: Surface }) {
  return (
    <SurfaceContext value={surface}>
      <div className="blocks">
        {blocks.map((block, at) => (
          <div
            key={keyOf(block, at, surface)}
            className={`block block-${block.type}`}
            data-block-type={block.type}
          >
            {draw(block, blockId(block, at))}
          </div>
        ))}
      </div>
    </SurfaceContext>
  );
}
