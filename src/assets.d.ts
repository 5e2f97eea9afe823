/**
 * Files imported with `{ type: "file" }` or `{ type: "text" }`: Bun embeds them in the compiled
 * binary. The type checker has to be told that such an import is a string: a path, or the text.
 */

declare module "*.wasm" {
  const path: string;
  export default path;
}

declare module "*.pt" {
  const path: string;
  export default path;
}

declare module "*.npz" {
  const path: string;
  export default path;
}

declare module "*.py" {
  const text: string;
  export default text;
}

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

declare module "*.hpp" {
  const text: string;
  export default text;
}

declare module "*.md" {
  const text: string;
  export default text;
}
