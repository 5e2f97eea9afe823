/**
 * An action that is no action, told apart from what a backend cannot do: who counts the one does
 * not mean the other.
 */

import { Lite3Error } from "../base/errors.ts";

export class NotFiniteError extends Lite3Error {
  override readonly name = "NotFiniteError";

  constructor(message: string) {
    super("NATIVE", message);
  }
}
