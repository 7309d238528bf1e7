/** The plugin, packed, in the small shop of woocommerce/shop.php, and a Beckon that answers as the test says. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { createServer as createNetServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Batch {
  readonly v: number;
  readonly s: string;
  readonly k?: string;
  readonly c?: Record<string, unknown>;
  readonly e: readonly { n: string; i: string; t: number; p: Record<string, unknown> }[];
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createNetServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });

export class Beckon {
  readonly got: { path: string; headers: IncomingHttpHeaders; body: string }[] = [];
  /** What the next requests get, in turn; then 204. */
  replies: { status: number; headers?: Record<string, string>; body?: string }[] = [];
  url = '';
  #server: Server | undefined;

  async start(): Promise<this> {
    this.#server = createServer((request, reply) => {
      let body = '';
      request.on('data', (chunk) => (body += chunk));
      request.on('end', () => {
        this.got.push({ path: request.url ?? '', headers: request.headers, body });
        const { status, headers, body: said } = this.replies.shift() ?? { status: 204 };
        reply.writeHead(status, headers).end(said);
      });
    });
    await new Promise<void>((ready) => this.#server!.listen(0, '127.0.0.1', ready));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/px`;
    return this;
  }

  stop = (): void => void this.#server?.close();

  get batches(): Batch[] {
    return this.got.map(({ body }) => JSON.parse(body) as Batch);
  }
}

interface Options {
  readonly options?: Record<string, string>;
  readonly constants?: Record<string, string>;
  readonly consent?: boolean;
}

export class Shop {
  readonly #dir = mkdtempSync(join(tmpdir(), 'beckon-woo-'));
  #php: ChildProcess | undefined;
  #url = '';
  /** What PHP has complained of. */
  faults = '';

  async start({ options = {}, constants = {}, consent = false }: Options): Promise<this> {
    execFileSync('../platforms/woocommerce/pack.sh', [this.#dir]);
    const port = await freePort();
    this.#url = `http://127.0.0.1:${port}`;
    this.#php = spawn('php', ['-d', 'display_errors=stderr', '-d', 'error_reporting=-1', '-S', `127.0.0.1:${port}`, 'test/woocommerce/shop.php'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...process.env,
        BECKON_SHOP_PLUGIN: join(this.#dir, 'beckon'),
        BECKON_SHOP_STATE: join(this.#dir, 'state'),
        BECKON_SHOP_OPTIONS: JSON.stringify(options),
        BECKON_SHOP_CONSTANTS: JSON.stringify(constants),
        BECKON_SHOP_CONSENT: consent ? '1' : '',
      },
    });
    this.#php.stderr!.on('data', (said) => {
      this.faults += String(said).split('\n').filter((line) => /PHP (?!8)/.test(line)).join('\n');
    });
    for (;;) {
      if (await fetch(`${this.#url}/wp-content/plugins/beckon/assets/shop.js`).then((r) => r.ok, () => false)) return this;
      if (this.#php.exitCode !== null) throw new Error(`PHP has ended: ${this.faults}`);
      await new Promise((again) => setTimeout(again, 20));
    }
  }

  stop = (): void => {
    this.#php?.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  };

  visitor = (): Visitor => new Visitor(this.#url);
}

/** A browser without scripts: it keeps cookies. */
export class Visitor {
  #cookies = new Map<string, string>();
  constructor(readonly url: string) {}

  async ask(path: string, form?: Record<string, string>): Promise<{ status: number; text: string; headers: Headers }> {
    const reply = await fetch(this.url + path, {
      method: form ? 'POST' : 'GET',
      headers: { Cookie: [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form && { body: new URLSearchParams(form) }),
    });
    for (const cookie of reply.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)!;
      if (value && value !== 'deleted') this.#cookies.set(name!, value);
      else this.#cookies.delete(name!);
    }
    return { status: reply.status, text: await reply.text(), headers: reply.headers };
  }

  async call<T>(name: string, form: Record<string, string> = {}): Promise<T> {
    return JSON.parse((await this.ask(`/?wc-ajax=${name}`, form)).text) as T;
  }

  /** What the page says of itself. */
  async page(path: string): Promise<{ events: [string, Record<string, unknown>][]; ajax: string; own: boolean; link?: { nonce: string } }> {
    const { text } = await this.ask(path);
    return JSON.parse(/id="beckon-page">\n(.*)\n<\/script>/.exec(text)![1]!);
  }

  cookies = (): string[] => [...this.#cookies.keys()].sort();
}
