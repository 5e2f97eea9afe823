/**
 * Every limit of the program, with what it stops and why it has that size.
 * A physical invariant (the bytes must be in the file) is preferred; a cap stands only where there
 * is none.
 */

export const LIMITS = {
  /** A whole model or data file read into memory: 2 GiB is protobuf's own message limit. */
  modelBytes: 2 ** 31 - 1,
  /** YAML written by hand; a larger one is a wrong file or an alias bomb. */
  configBytes: 1 << 20,
  /** Entries of one zip archive: a checkpoint has one per tensor, with optimizer some thousands. */
  zipEntries: 100_000,
  /** `data.pkl` of a checkpoint: names and shapes only, kilobytes in practice. */
  pickleBytes: 64 << 20,
  /** Opcodes of one pickle; each is at least a byte, so this bounds time before `pickleBytes`. */
  pickleOpcodes: 1_000_000,
  /** Nesting of pickled containers: deeper is an attack on whoever walks the value. */
  pickleDepth: 200,
  /** Bytes of one pickled int: the largest in real files, torch's legacy magic number, has 10. */
  pickleIntBytes: 1_024,
  /** Characters of a pickled global's name, which one opcode can repeat from the memo. */
  pickleNameLength: 1_000,
  /** Classes and functions that one pickle names: real ones have some dozen. */
  pickleGlobals: 10_000,
  /** Code of a TorchScript policy that is read: with an LSTM, the longest class, some 20 kB. */
  codeBytes: 1 << 20,
  /** Brackets and blocks of TorchScript within each other, and calls within calls. */
  codeDepth: 100,
  /** Expressions read on the way through a TorchScript policy; an LSTM takes some hundred. */
  codeSteps: 20_000,
  /** What `expand()` repeats in one file: the largest layer of a policy, 1024², has as many. */
  expandedElements: 1 << 20,
  /** Dimensions of one tensor: numpy's own NPY_MAXDIMS. */
  tensorRank: 64,
  /** Nesting of protobuf messages: ONNX itself needs 6 outside control-flow graphs. */
  protobufDepth: 64,
  /** Fields of one protobuf: two bytes of an empty message become an object of some hundred. */
  protobufFields: 4_000_000,
  /** Packed numbers of one protobuf: a byte becomes eight; 64 Mi are 256 MiB of weights. */
  protobufElements: 1 << 26,
  /** Length of an .npy header; numpy's own refuses more than 10,000 characters too. */
  npyHeaderBytes: 10_000,
  /** JSON at the end of a .rknn: names and shapes, one or two kilobytes in practice. */
  rknnDocumentBytes: 4 << 20,
  /** One answer of a user's Python program: a vector and a few words. */
  bridgeBytes: 4 << 20,
  /** Tables of one vector in a FlatBuffer: offsets can name one many times; policies have dozens. */
  flatBufferTables: 10_000,
  /** Bytes of one text in a FlatBuffer that are read: every table can name the same long one. */
  flatBufferText: 1_000,
  /** Observation or action width: a policy's vector, not an image. */
  vectorWidth: 65_536,
  /** Files of one directory that `inspect` opens: a training run leaves some hundred. */
  inspectEntries: 1_000,
  /** Weights of a policy that `init` generates: 64 MiB; the NPU's policies have some 200,000. */
  generatedParameters: 1 << 24,
  /** A file of a machine that the doctor reads: the NPU's library, the largest, has some 8 MB. */
  machineFileBytes: 64 << 20,
  /** A doctor's capture: some hundred small files and the libraries' tables, under 1 MB. */
  captureBytes: 64 << 20,
  /** The log of one run: ten hours of a Lite3 at 50 Hz have some 1 GB. */
  runLogBytes: 4 * 2 ** 30,
  /** An acceptance's archive, unpacked: its run's log has some 20 MB for ten minutes. */
  acceptanceBytes: 512 << 20,
  /** Connections one service holds: each costs two buffers and a file descriptor. */
  connections: 1_024,
  /** `sun_path` holds 108 bytes with its terminating zero (unix(7)). */
  socketPathBytes: 107,
} as const;
