// How the results of a search are ordered. Sphinx counts the best place of a word: in a title, or in the text. Beside that,
// each word in the title of the page and in its row of docs/index.md (PURPOSES) counts, and pages about the inside and lists
// of everything come later.
const LATER = [[/^internals\/changes$/, 14], [/^(internals|decisions)\//, 6], [/^(pages|cli|glossary)$/, 8]];

const askedWords = () => {
  const stemmer = new Stemmer();
  const query = new URLSearchParams(window.location.search).get("q") || "";
  const words = query.toLowerCase().split(/[^\p{Letter}\p{Number}_]+/u);
  return new Set(words.filter((word) => word && !stopwords.has(word)).map((word) => stemmer.stemWord(word)));
};

var Scorer = {
  score: ([page, title, , , score]) => {
    const stemmer = new Stemmer();
    const wordsOf = (text) => new Set(text.toLowerCase().split(/[^\p{Letter}\p{Number}_]+/u).map((word) => stemmer.stemWord(word)));
    const named = wordsOf(`${title} ${page}`);
    const meant = wordsOf(PURPOSES[page] || "");
    const hits = [...askedWords()].reduce((sum, word) => sum + named.has(word) + meant.has(word), 0);
    const later = LATER.find(([pattern]) => pattern.test(page));
    return score + 4 * hits - (later ? later[1] : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

// Sphinx wants each word of a question on one page, so a long question would have no answer. Here pages with most of the
// words follow those with all; a rare word counts more than one that is on many pages.
{
  const findPages = Search.performTermsSearch;
  Search.performTermsSearch = (words, excluded) => {
    const all = findPages(words, excluded);
    if (words.size < 2) return all;
    const weights = new Map();
    const partial = new Map();
    let total = 0;
    for (const word of words) {
      const hits = findPages(new Set([word]), excluded);
      const weight = hits.length ? Math.log(1 + Search._index.docnames.length / Math.max(hits.length, 6)) : 0;
      total += weight;
      for (const hit of hits) {
        const page = hit[0];
        weights.set(page, (weights.get(page) || 0) + weight);
        const score = Math.max(hit[4], partial.has(page) ? partial.get(page)[4] : 0);
        partial.set(page, [...hit.slice(0, 4), score, ...hit.slice(5)]);
      }
    }
    const complete = new Set(all.map((hit) => hit[0]));
    for (const [page, hit] of partial) {
      const share = total ? weights.get(page) / total : 0;
      if (complete.has(page) || share < 0.25) continue;
      hit[4] -= Math.round(12 * (1 - share));
      all.push(hit);
    }
    return all;
  };
}
