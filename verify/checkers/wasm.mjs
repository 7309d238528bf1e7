// Runs lines of tokens through the wasm function as a platform does: input on stdin, operations on
// stdout, log on stderr, a new instance for each run, and not one import more. So it has no network, no
// clock and no memory of the last run: node wasm.mjs FILE < lines.
import { readFileSync } from 'node:fs';

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const given = { fd_read: 'stdin', fd_write: 'stdout and stderr', environ_get: 'empty', environ_sizes_get: 'empty', proc_exit: 'the end' };
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  if (from !== 'wasi_snapshot_preview1' || !given[name]) throw new Error(`the function asks for ${from}.${name}`);
}

export function run(input) {
  let rest = new TextEncoder().encode(JSON.stringify(input));
  const said = ['', '', ''];
  let memory;
  const vectors = (at, n) =>
    Array.from({ length: n }, (_, i) => {
      const view = new DataView(memory.buffer);
      return new Uint8Array(memory.buffer, view.getUint32(at + 8 * i, true), view.getUint32(at + 8 * i + 4, true));
    });
  const done = (at, n) => (new DataView(memory.buffer).setUint32(at, n, true), 0);
  const wasi_snapshot_preview1 = {
    fd_read(fd, at, n, read) {
      let bytes = 0;
      for (const v of fd === 0 ? vectors(at, n) : []) {
        const some = rest.subarray(0, v.length);
        v.set(some);
        rest = rest.subarray(some.length);
        bytes += some.length;
      }
      return done(read, bytes);
    },
    fd_write(fd, at, n, written) {
      let bytes = 0;
      for (const v of vectors(at, n)) {
        said[fd] += new TextDecoder().decode(v);
        bytes += v.length;
      }
      return done(written, bytes);
    },
    environ_sizes_get: (count, size) => done(count, 0) || done(size, 0),
    environ_get: () => 0,
    proc_exit(code) {
      throw new Error(`the function ended with ${code}: ${said[2]}`);
    },
  };
  const { exports } = new WebAssembly.Instance(module, { wasi_snapshot_preview1 });
  memory = exports.memory;
  exports._start();
  return { ...JSON.parse(said[1]), log: JSON.parse(said[2]) };
}

const { jwks, issuer, site, lines, inputs } = JSON.parse(readFileSync(0, 'utf8'));
const inputOf = ({ token, now, cart }) => ({
  now,
  cart: { offer: { value: token }, ...(cart && { cost: { subtotalAmount: { amount: String(cart.value), currencyCode: cart.currency } } }) },
  discount: { metafield: { jsonValue: { jwks, issuer, site } } },
});
console.log(JSON.stringify(inputs ? inputs.map(run) : lines.map((line) => run(inputOf(line)).log)));
