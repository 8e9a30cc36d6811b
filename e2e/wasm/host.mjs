// Runs a WebAssembly program whose only wish to its host is random numbers:  node host.mjs PROGRAM.wasm
// What wasm-bindgen's own tool would generate is three lines here, since the program calls one function of its host.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  // The names end with a number that changes with the version.
  imports[from][name] = name.startsWith("__wbg_getRandomValues_")
    ? (place, length) => void crypto.getRandomValues(new Uint8Array(exports.memory.buffer, place, length))
    : () => { throw new Error(`the program calls ${name}: a host function that is not provided`); };
}
const { exports } = new WebAssembly.Instance(module, imports);
const begin = performance.now();
const failed = exports.main(0, 0);
if (failed !== 0) {
  console.error(`wasm: check ${failed} failed (the list CHECKS in e2e/wasm/src/main.rs; cargo run --release -p sotto-wasm-check runs it natively)`);
  process.exit(1);
}
console.log(`wasm: the checks of e2e/wasm passed under Node ${process.versions.node} in ${Math.round(performance.now() - begin)} ms`);
