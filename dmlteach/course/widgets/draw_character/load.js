// Where the network comes from on the first stroke: from the kernel in a notebook, else from a script beside the page.

/** The script beside the page, loaded once; a page opened from the disk may load no other kind. */
const scripts = new Map();
const loaded = (address) => {
  if (!scripts.has(address)) {
    scripts.set(address, new Promise((resolve, reject) => {
      const node = document.createElement("script");
      Object.assign(node, { src: address, onload: () => resolve(globalThis.dmlteachDrawCharacter), onerror: () => {
        scripts.delete(address);
        node.remove();
        reject(new Error(`${address} is not beside this page`));
      } });
      document.head.append(node);
    }));
  }
  return scripts.get(address);
};

/** What `Search` is made of. */
function bring(model) {
  if (model.get("kernel")) {
    return new Promise((resolve) => {
      const came = () => {
        if (!model.get("packed")?.network) return;
        model.off("change:packed", came);
        resolve(model.get("packed"));
      };
      model.on("change:packed", came);
      model.set("asked", true);
      model.save_changes();
      came();
    });
  }
  const address = model.get("script");
  if (address) return loaded(address);
  return Promise.reject(new Error("this copy of the figure has none beside it; the notebook and the site have one"));
}
