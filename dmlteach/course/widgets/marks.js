// Shapes that tell classes apart without a colour: from the middle of a point to a path.
const MARKS = [
  (x, y) => `M${x - 3.4} ${y}a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0Z`,
  (x, y) => `M${x - 3.1} ${y - 3.1}h6.2v6.2h-6.2Z`,
  (x, y) => `M${x} ${y - 4}l3.9 6.8h-7.8Z`,
  (x, y) => `M${x} ${y - 4.4}l4.4 4.4l-4.4 4.4l-4.4 -4.4Z`,
  (x, y) => `M${x} ${y + 4}l3.9 -6.8h-7.8Z`,
  (x, y) => `M${x - 1.2} ${y - 4}h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8Z`,
  (x, y) => `M${x - 4} ${y - 2.4}l1.6 -1.6l2.4 2.4l2.4 -2.4l1.6 1.6l-2.4 2.4l2.4 2.4l-1.6 1.6l-2.4 -2.4l-2.4 2.4` +
    "l-1.6 -1.6l2.4 -2.4Z",
  (x, y) => `M${x - 1.6} ${y - 4.2}h3.2v8.4h-3.2Z`,
];
