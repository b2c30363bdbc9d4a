// How the results of a search are ordered. Sphinx counts the best place of a word: in a title, or in the text. Beside that,
// each word in the title of the page counts, and pages about the inside and lists of everything come later.
const LATER = [[/^internals\/changes$/, 14], [/^(internals|decisions)\//, 6], [/^(index|pages|cli|glossary)$/, 8]];

const askedWords = () => {
  const stemmer = new Stemmer();
  const query = new URLSearchParams(window.location.search).get("q") || "";
  const words = query.toLowerCase().split(/[^\p{Letter}\p{Number}_]+/u);
  return new Set(words.filter((word) => word && !stopwords.has(word)).map((word) => stemmer.stemWord(word)));
};

var Scorer = {
  score: ([page, title, , , score]) => {
    const stemmer = new Stemmer();
    const named = new Set(`${title} ${page}`.toLowerCase().split(/[^\p{Letter}\p{Number}_]+/u).map((word) => stemmer.stemWord(word)));
    const hits = [...askedWords()].filter((word) => named.has(word)).length;
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
