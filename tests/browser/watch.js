// Records what is visible only briefly: each heading of a card, and the lengths of each text that grows.
(() => {
  window.passed = { headings: [], written: {} };
  const look = () => {
    for (const each of document.querySelectorAll("[data-testid=message] h3.header")) {
      const words = each.innerText.trim();
      if (!window.passed.headings.includes(words)) window.passed.headings.push(words);
    }
    for (const each of document.querySelectorAll("[data-testid=message][data-ts]:not([data-ephemeral])")) {
      const lengths = (window.passed.written[each.dataset.ts] ??= []);
      const length = each.innerText.length;
      if (lengths.at(-1) !== length) lengths.push(length);
    }
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
})();
