// The playground as a page of its own.

const inside = (limit, v) => clamp(v, -limit, limit);
const PAGE = {
  start: Playground.figure.start, title: "playground", heading: "Triplet playground", file: "triplet-playground",
  read: {
    view: oneOf(LIMITS),
    line: (part) => numbersOf(part, 3).map((v) => inside(LIMITS.line, v)),
    plane: (part) => {
      const v = numbersOf(part, 6).map((x) => inside(LIMITS.plane, x));
      return [v.slice(0, 2), v.slice(2, 4), v.slice(4)];
    },
    margin: (part) => clamp(numbersOf(part, 1)[0], 0, 2),
    follow: oneOf(LOSSES),
    contrastive: truth,
    numbers: truth,
  },
  mend: (state) => ({ ...state, contrastive: state.contrastive || state.follow === "contrastive" }),
};
