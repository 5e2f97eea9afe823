/**
 * What the inspection of one kind of file gives: the document of `--json`, the same for a person
 * as blocks of text, and what to do with the file.
 */

/** Label and text; a label that is empty continues the line before. */
export type Fact = readonly [label: string, text: string];

export type Block =
  | { readonly facts: readonly Fact[] }
  | {
      readonly head: readonly string[];
      readonly rows: readonly (readonly string[])[];
      readonly right: readonly string[];
    };

export interface Finding {
  readonly kind: FileKind | "directory";
  /** The kind in words: `torch checkpoint`. */
  readonly title: string;
  /** Fields of the document that only this kind has. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly blocks: readonly Block[];
  /** What a careful reader must not miss. */
  readonly warnings: readonly string[];
  /** Plain sentences, and commands that can be run as they stand. */
  readonly advice: readonly string[];
}

export type FileKind = "checkpoint" | "pickle" | "onnx" | "npy" | "npz" | "rknn";
