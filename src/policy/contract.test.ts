import { expect, test } from "bun:test";
import { LITE3_CONTRACT, observationSize } from "./contract.ts";

test("LITE3_CONTRACT describes 45 observations and 12 joints, leg by leg", () => {
  const { joints, actionScale, defaultPose } = LITE3_CONTRACT;
  expect([observationSize(LITE3_CONTRACT), joints.join(" "), actionScale, defaultPose]).toEqual([
    45,
    "FL_HipX FL_HipY FL_Knee FR_HipX FR_HipY FR_Knee " +
      "HL_HipX HL_HipY HL_Knee HR_HipX HR_HipY HR_Knee",
    [0.125, 0.25, 0.25, 0.125, 0.25, 0.25, 0.125, 0.25, 0.25, 0.125, 0.25, 0.25],
    [0, -0.65, 1.3, 0, -0.65, 1.3, 0, -0.65, 1.3, 0, -0.65, 1.3],
  ]);
});
