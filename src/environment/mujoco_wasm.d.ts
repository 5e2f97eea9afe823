/** Bun's `type: "file"` import of the wasm gives the path of the file. */
declare module "@mujoco/mujoco/mujoco.wasm" {
  const path: string;
  export default path;
}
