/** Shopify's side of the app embed: Liquid, with the one tag and the one filter that only Shopify has. */
import { Liquid, type TagToken, type TopLevelToken } from 'liquidjs';

interface Page {
  readonly settings: Record<string, string>;
  readonly attributes?: Record<string, string>;
  readonly designMode?: boolean;
  readonly assets?: string;
}

export function theme({ settings, attributes = {}, designMode = false, assets = '//shop.example/cdn/' }: Page): string {
  const liquid = new Liquid({ root: 'shopify/extensions/beckon-theme/blocks', extname: '.liquid', strictFilters: true });
  liquid.registerFilter('asset_url', (name: string) => assets + name);
  liquid.registerTag('schema', {
    parse(_: TagToken, rest: TopLevelToken[]) {
      while (rest.length && (rest.shift() as TagToken).name !== 'endschema');
    },
    render: () => '',
  });
  return liquid.renderFileSync('beckon', { block: { settings }, cart: { attributes }, request: { design_mode: designMode } }) as string;
}
