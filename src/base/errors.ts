/**
 * Every way lite3rl can fail, in one table: code → exit status → what it means.
 *
 * Operating errors (bad input, busy port, missing file) are `Lite3Error`: one line on stderr, the
 * status below. Programmer errors are `assert()`: a stack trace and status 70.
 *
 * Message grammar: action, quoted value, colon, what was found, what is needed, and the flag or
 * command that settles it; no full stop.
 */

export const ERROR_CODES = {
  CHECK_FAILED: { status: 1, meaning: "Checked, and it failed: parity, a fall, a rejected model" },
  PROGRAM: { status: 1, meaning: "An environment or policy of the user's that failed" },
  USAGE: { status: 2, meaning: "A verb, flag or flag value that means nothing here" },
  CONFIG: { status: 2, meaning: "Configuration that contradicts itself or the files it names" },
  NOT_FOUND: { status: 3, meaning: "An input that is missing, or is not a file" },
  MALFORMED: { status: 4, meaning: "A file whose bytes are not what its format requires" },
  TOO_LARGE: { status: 4, meaning: "An input over a limit of src/base/limits.ts" },
  UNSUPPORTED: { status: 5, meaning: "A sound input of a kind this version does not handle" },
  NATIVE: { status: 6, meaning: "The operating system or a native library refused" },
  WIRE: { status: 7, meaning: "A service that is unreachable or breaks the protocol" },
  BUSY: { status: 7, meaning: "An address or socket that somebody else is using" },
  DEADLINE: { status: 7, meaning: "No answer within the time allowed" },
  BUG: { status: 70, meaning: "A bug in lite3rl; please report it with the stack trace" },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An operating error: the user can act on it, so it is printed as one line without a stack. */
export class Lite3Error extends Error {
  override readonly name: string = "Lite3Error";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  get exitStatus(): number {
    return ERROR_CODES[this.code].status;
  }
}

/**
 * Bytes that are not what their format requires. Decoders throw nothing else; they do not know
 * file names, so whoever opened the file adds its name with `describeSource`.
 */
export class FormatError extends Lite3Error {
  override readonly name = "FormatError";

  constructor(
    message: string,
    code: "MALFORMED" | "TOO_LARGE" | "UNSUPPORTED" | "CHECK_FAILED" = "MALFORMED",
  ) {
    super(code, message);
  }
}

/** Runs `decode` and names the file in any `FormatError` it throws: `Cannot read "x.pt": …`. */
export async function describeSource<T>(
  action: string,
  path: string,
  decode: () => T | Promise<T>,
): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new Lite3Error(error.code, `${action} ${quote(path)}: ${error.message}`, {
      cause: error,
    });
  }
}

/** An operating error as a value; a programmer's is thrown on. */
export function operatingError(error: unknown): Lite3Error {
  if (error instanceof Lite3Error) return error;
  throw error;
}

/** What `action` gives, or the operating error that it throws. */
export function outcomeOf<T>(action: () => T): T | Lite3Error {
  try {
    return action();
  } catch (error) {
    return operatingError(error);
  }
}

/** Quotes a value for a message, escaping control characters and cutting what is overlong. */
export function quote(value: unknown): string {
  const text = JSON.stringify(String(value));
  return text.length <= 200 ? text : `${text.slice(0, 197)}…"`;
}
