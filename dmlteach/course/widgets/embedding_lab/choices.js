// What can be chosen in the embedding lab, and the states that it shows.

const LOSS_NAMES = {
  contrastive: "contrastive", triplet: "triplet", sst: "SST", multi_similarity: "multi-similarity",
  proxy_anchor: "proxy-anchor", softmax: "softmax",
};
const MARGINS = { contrastive: 1, triplet: 0.2 }; // of the losses that have one, their usual ones
const NEGATIVES = { all: "all", hardest: "hardest" };
const BATCHES = { random: "random", classes: "P × K (8 × 5)", local: "local" };
const WIDTHS = { 16: "16", 2: "2" };
const SHOWN = { unseen: "unseen (10)", seen: "seen (20)" };
const RATES = { 0.0001: "0.0001", 0.0003: "0.0003", 0.001: "0.001", 0.003: "0.003", 0.01: "0.01", 0.03: "0.03" };
// Steps from picture to picture, at most so many and for so long; at the fast pace the worker never waits.
const PACES = { slow: { steps: 1, milliseconds: 20 }, medium: { steps: 5, milliseconds: 20 }, fast: { steps: 200, milliseconds: 20 } };
const CALM = 50; // steps between two pictures, where the reader wants less motion
const LAST = 4000; // steps, where Play rests
const KEPT = 300; // points of a curve; then every second is dropped
const NEIGHBORS = 5;

// What a second lab beside the first has otherwise.
const BESIDE = {
  nothing: { label: "nothing", part: {} },
  still: { label: "no turns or shifts", part: { turns: false } },
  classes: { label: "P × K batches", part: { batches: "classes" } },
  triplet: { label: "triplet loss", part: { loss: "triplet", negatives: "all", margin: MARGINS.triplet } },
  sst: { label: "SST loss", part: { loss: "sst" } },
  plane: { label: "only 2 dimensions", part: { width: 2 } },
  shuffled: { label: "shuffled labels", part: { shuffled: true } },
};
const START = {
  loss: "triplet", negatives: "all", margin: MARGINS.triplet, batches: "classes", rate: 0.001, width: 16, turns: true,
  shuffled: false, seed: 0, beside: "nothing", shown: "unseen", pace: "fast", focus: 0, numbers: false,
};
const OF_TRAINING = ["loss", "negatives", "margin", "batches", "rate", "width", "turns", "shuffled", "seed"];
// Each state that is shown: what it asks before Play, and after how many steps Play rests, where it can be seen.
const NAMED = {
  "turns and shifts": { steps: 2000, part: { beside: "still" },
    ask: "the lab beside this one never turns or shifts a drawing; which of the two passes raw pixels on unseen characters?" },
  "collapse": { steps: 400, part: { negatives: "hardest", rate: 0.03 },
    ask: "with the hardest negatives alone, at thirty times the rate, where does the loss come to rest, and where do the points lie then?" },
  "shuffled labels": { steps: 400, part: { shuffled: true, turns: false },
    ask: "the labels are shuffled and mean nothing; does the loss fall all the same, and what becomes of unseen characters?" },
  "local batches": { steps: 600, part: { batches: "local", beside: "classes" },
    ask: "with batches of drawings that lie near each other, beside P × K batches, where do more tuples stay active, and does Recall@1 show it?" },
  "softmax": { steps: 2000, part: { loss: "softmax", beside: "sst" },
    ask: "a classifier whose last layer is left out, or SST, which compares triplets: which finds more unseen characters?" },
};
const ASK = "comparing raw pixels finds a drawing of the same character for about three in four drawings; will " +
  "2,000 steps on twenty other characters beat that, and what share of the tuples still gives a gradient by then?";
const LESSON = "What is learned on some characters carries over to others if the drawings are varied enough: without turns and " +
  "shifts the network learns its twenty by heart and stays below raw pixels on the ten it never saw. A falling loss tells " +
  "nothing about them. And a plain classifier is as good here as losses over pairs and triplets.";

