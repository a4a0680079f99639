// A browser's localStorage, in the file that the last argument names: it outlives the page.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const file = process.argv.at(-1);
const items = new Map(existsSync(file) ? JSON.parse(readFileSync(file)) : []);
globalThis.localStorage = {
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => items.set(key, String(value)),
  removeItem: (key) => items.delete(key),
};
globalThis.keep = () => writeFileSync(file, JSON.stringify([...items]));
