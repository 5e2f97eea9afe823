/**
 * Files imported with `{ type: "text" }`: Bun embeds their text, in the source tree and in the
 * compiled binary alike. The type checker has to be told that such an import is a string.
 */

declare module "*.css" {
  const text: string;
  export default text;
}

declare module "*.iife.min.js" {
  const text: string;
  export default text;
}

declare module "*_client.js" {
  const text: string;
  export default text;
}
