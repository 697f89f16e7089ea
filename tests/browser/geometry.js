// Returns one sentence per layout defect of the current page. Changes nothing.
() => {
  const LAYERS = "dialog, [popover], .hints, .usage, .menu, .below, .message-tools, .copy, .sidebar.open";
  const root = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  const wrong = [];
  const name = (element) => `<${element.tagName.toLowerCase()} class="${element.className}">`;

  /** The part of a box that its scrolling or clipping ancestors let through. */
  const visiblePart = (box, from) => {
    let { left, top, right, bottom } = box;
    for (let each = from; each && each !== document.documentElement; each = each.parentElement) {
      const style = getComputedStyle(each);
      const clip = each.getBoundingClientRect();
      if (style.overflowX !== "visible") [left, right] = [Math.max(left, clip.left), Math.min(right, clip.right)];
      if (style.overflowY !== "visible") [top, bottom] = [Math.max(top, clip.top), Math.min(bottom, clip.bottom)];
    }
    return { left, top, right, bottom };
  };

  const scrolling = document.scrollingElement;
  if (scrolling.scrollWidth > innerWidth) wrong.push(`the page is ${scrolling.scrollWidth} px wide, not ${innerWidth}`);

  for (const each of root.querySelectorAll("*")) {
    const style = getComputedStyle(each);
    if (!each.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || style.display === "inline") continue;
    const mayScroll = ["auto", "scroll"].includes(style.overflowX) || style.textOverflow === "ellipsis";
    const area = each.matches("textarea, select, input");
    if (!mayScroll && !area && each.clientWidth > 0 && each.scrollWidth > each.clientWidth + 1) {
      wrong.push(`${name(each)} holds ${each.scrollWidth} px in ${each.clientWidth}: ${each.textContent.slice(0, 60)}`);
    }
  }

  const lines = [];
  const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const parent = text.parentElement;
    if (!text.data.trim() || parent.closest("option, select, title, script, style")) continue;
    if (!parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const box of range.getClientRects()) {
      const seen = visiblePart(box, parent);
      if (seen.right - seen.left < 2 || seen.bottom - seen.top < 2) continue;
      if (seen.left < -1 || seen.right > innerWidth + 1) wrong.push(`cut off at the side: ${text.data.slice(0, 60)}`);
      lines.push({ ...seen, text, layer: parent.closest(LAYERS) });
    }
  }
  for (const [at, one] of lines.entries()) {
    for (const other of lines.slice(at + 1)) {
      if (one.text === other.text || one.layer !== other.layer) continue;
      const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      // The boxes of adjacent lines overlap by a part of the line height.
      const height = Math.min(one.bottom - one.top, other.bottom - other.top);
      if (across > 2 && down > Math.max(4, height * 0.4)) {
        wrong.push(`one over the other: "${one.text.data.slice(0, 40)}" and "${other.text.data.slice(0, 40)}"`);
      }
    }
  }

  const buttons = [...root.querySelectorAll("button, select, textarea")].filter((each) =>
    each.checkVisibility({ visibilityProperty: true, opacityProperty: true }),
  );
  for (const [at, one] of buttons.entries()) {
    const mine = visiblePart(one.getBoundingClientRect(), one.parentElement);
    for (const other of buttons.slice(at + 1)) {
      if (one.closest(LAYERS) !== other.closest(LAYERS)) continue;
      const its = visiblePart(other.getBoundingClientRect(), other.parentElement);
      const across = Math.min(mine.right, its.right) - Math.max(mine.left, its.left);
      const down = Math.min(mine.bottom, its.bottom) - Math.max(mine.top, its.top);
      if (across > 1 && down > 1) wrong.push(`${name(one)} and ${name(other)} overlap`);
    }
  }
  return [...new Set(wrong)];
}
