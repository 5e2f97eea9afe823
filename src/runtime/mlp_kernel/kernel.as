/**
 * The arithmetic of `mlp.ts` in AssemblyScript, four floats at once. `kernel.wasm` is this file
 * compiled by `bun scripts/dev.ts kernel`; a test compiles it again and compares the bytes.
 *
 * Every result has the same bits on every machine: only operations that WebAssembly defines to the
 * last bit, in an order that is fixed; no fused multiply-add, which some machines lack.
 *
 * Addresses are bytes; vectors are whole groups of four floats, written over their padding.
 */

/**
 * One row of a dense layer: y[n] = bias[n] + Σ x[k] · weight[n][k], in the order of k, products
 * and sums each rounded to float32.
 *
 * The weights come in panels of 32 outputs, [k][32], so that they are read once from front to back
 * while 8 sums of 4 stay in registers, as many as hide the latency of an addition; four inputs are
 * loaded at once, since loads are what a processor runs out of. A last panel is 16 wide where that
 * is enough. `outputs` is a multiple of 16, and bias and y are as long.
 */
export function dense(
  x: usize,
  inputs: i32,
  weights: usize,
  bias: usize,
  y: usize,
  outputs: i32,
): void {
  const end = x + (<usize>inputs << 2);
  const fours = x + (<usize>(inputs & ~3) << 2);
  for (; outputs >= 32; outputs -= 32) {
    let s0 = v128.load(bias);
    let s1 = v128.load(bias, 16);
    let s2 = v128.load(bias, 32);
    let s3 = v128.load(bias, 48);
    let s4 = v128.load(bias, 64);
    let s5 = v128.load(bias, 80);
    let s6 = v128.load(bias, 96);
    let s7 = v128.load(bias, 112);
    let at = x;
    for (; at < fours; at += 16) {
      const values = v128.load(at);
      const value0 = v128.shuffle<f32>(values, values, 0, 0, 0, 0);
      s0 = f32x4.add(s0, f32x4.mul(value0, v128.load(weights)));
      s1 = f32x4.add(s1, f32x4.mul(value0, v128.load(weights, 16)));
      s2 = f32x4.add(s2, f32x4.mul(value0, v128.load(weights, 32)));
      s3 = f32x4.add(s3, f32x4.mul(value0, v128.load(weights, 48)));
      s4 = f32x4.add(s4, f32x4.mul(value0, v128.load(weights, 64)));
      s5 = f32x4.add(s5, f32x4.mul(value0, v128.load(weights, 80)));
      s6 = f32x4.add(s6, f32x4.mul(value0, v128.load(weights, 96)));
      s7 = f32x4.add(s7, f32x4.mul(value0, v128.load(weights, 112)));
      const value1 = v128.shuffle<f32>(values, values, 1, 1, 1, 1);
      s0 = f32x4.add(s0, f32x4.mul(value1, v128.load(weights, 128)));
      s1 = f32x4.add(s1, f32x4.mul(value1, v128.load(weights, 144)));
      s2 = f32x4.add(s2, f32x4.mul(value1, v128.load(weights, 160)));
      s3 = f32x4.add(s3, f32x4.mul(value1, v128.load(weights, 176)));
      s4 = f32x4.add(s4, f32x4.mul(value1, v128.load(weights, 192)));
      s5 = f32x4.add(s5, f32x4.mul(value1, v128.load(weights, 208)));
      s6 = f32x4.add(s6, f32x4.mul(value1, v128.load(weights, 224)));
      s7 = f32x4.add(s7, f32x4.mul(value1, v128.load(weights, 240)));
      const value2 = v128.shuffle<f32>(values, values, 2, 2, 2, 2);
      s0 = f32x4.add(s0, f32x4.mul(value2, v128.load(weights, 256)));
      s1 = f32x4.add(s1, f32x4.mul(value2, v128.load(weights, 272)));
      s2 = f32x4.add(s2, f32x4.mul(value2, v128.load(weights, 288)));
      s3 = f32x4.add(s3, f32x4.mul(value2, v128.load(weights, 304)));
      s4 = f32x4.add(s4, f32x4.mul(value2, v128.load(weights, 320)));
      s5 = f32x4.add(s5, f32x4.mul(value2, v128.load(weights, 336)));
      s6 = f32x4.add(s6, f32x4.mul(value2, v128.load(weights, 352)));
      s7 = f32x4.add(s7, f32x4.mul(value2, v128.load(weights, 368)));
      const value3 = v128.shuffle<f32>(values, values, 3, 3, 3, 3);
      s0 = f32x4.add(s0, f32x4.mul(value3, v128.load(weights, 384)));
      s1 = f32x4.add(s1, f32x4.mul(value3, v128.load(weights, 400)));
      s2 = f32x4.add(s2, f32x4.mul(value3, v128.load(weights, 416)));
      s3 = f32x4.add(s3, f32x4.mul(value3, v128.load(weights, 432)));
      s4 = f32x4.add(s4, f32x4.mul(value3, v128.load(weights, 448)));
      s5 = f32x4.add(s5, f32x4.mul(value3, v128.load(weights, 464)));
      s6 = f32x4.add(s6, f32x4.mul(value3, v128.load(weights, 480)));
      s7 = f32x4.add(s7, f32x4.mul(value3, v128.load(weights, 496)));
      weights += 512;
    }
    for (; at < end; at += 4) {
      const value = v128.load32_splat(at);
      s0 = f32x4.add(s0, f32x4.mul(value, v128.load(weights)));
      s1 = f32x4.add(s1, f32x4.mul(value, v128.load(weights, 16)));
      s2 = f32x4.add(s2, f32x4.mul(value, v128.load(weights, 32)));
      s3 = f32x4.add(s3, f32x4.mul(value, v128.load(weights, 48)));
      s4 = f32x4.add(s4, f32x4.mul(value, v128.load(weights, 64)));
      s5 = f32x4.add(s5, f32x4.mul(value, v128.load(weights, 80)));
      s6 = f32x4.add(s6, f32x4.mul(value, v128.load(weights, 96)));
      s7 = f32x4.add(s7, f32x4.mul(value, v128.load(weights, 112)));
      weights += 128;
    }
    v128.store(y, s0);
    v128.store(y, s1, 16);
    v128.store(y, s2, 32);
    v128.store(y, s3, 48);
    v128.store(y, s4, 64);
    v128.store(y, s5, 80);
    v128.store(y, s6, 96);
    v128.store(y, s7, 112);
    bias += 128;
    y += 128;
  }
  if (outputs == 0) return;
  let s0 = v128.load(bias);
  let s1 = v128.load(bias, 16);
  let s2 = v128.load(bias, 32);
  let s3 = v128.load(bias, 48);
  for (let at = x; at < end; at += 4) {
    const value = v128.load32_splat(at);
    s0 = f32x4.add(s0, f32x4.mul(value, v128.load(weights)));
    s1 = f32x4.add(s1, f32x4.mul(value, v128.load(weights, 16)));
    s2 = f32x4.add(s2, f32x4.mul(value, v128.load(weights, 32)));
    s3 = f32x4.add(s3, f32x4.mul(value, v128.load(weights, 48)));
    weights += 64;
  }
  v128.store(y, s0);
  v128.store(y, s1, 16);
  v128.store(y, s2, 32);
  v128.store(y, s3, 48);
}

/**
 * Four rows of a dense layer, `xStep` and `yStep` bytes apart, by the same weights: the same sums
 * in the same order, two groups of outputs at a time, each weight read for all four.
 */
export function dense4(
  x: usize,
  inputs: i32,
  weights: usize,
  bias: usize,
  y: usize,
  outputs: i32,
  xStep: usize,
  yStep: usize,
): void {
  const bytes = <usize>inputs << 2;
  while (outputs > 0) {
    const width: usize = outputs >= 32 ? 128 : 64;
    for (let column: usize = 0; column < width; column += 32) {
      let a0 = v128.load(bias + column);
      let a1 = v128.load(bias + column, 16);
      let b0 = a0;
      let b1 = a1;
      let c0 = a0;
      let c1 = a1;
      let d0 = a0;
      let d1 = a1;
      let weight = weights + column;
      const end = x + bytes;
      let second = x + xStep;
      let third = second + xStep;
      let fourth = third + xStep;
      for (let at = x; at < end; at += 4) {
        const w0 = v128.load(weight);
        const w1 = v128.load(weight, 16);
        const a = v128.load32_splat(at);
        a0 = f32x4.add(a0, f32x4.mul(a, w0));
        a1 = f32x4.add(a1, f32x4.mul(a, w1));
        const b = v128.load32_splat(second);
        b0 = f32x4.add(b0, f32x4.mul(b, w0));
        b1 = f32x4.add(b1, f32x4.mul(b, w1));
        const c = v128.load32_splat(third);
        c0 = f32x4.add(c0, f32x4.mul(c, w0));
        c1 = f32x4.add(c1, f32x4.mul(c, w1));
        const d = v128.load32_splat(fourth);
        d0 = f32x4.add(d0, f32x4.mul(d, w0));
        d1 = f32x4.add(d1, f32x4.mul(d, w1));
        second += 4;
        third += 4;
        fourth += 4;
        weight += width;
      }
      let to = y + column;
      v128.store(to, a0);
      v128.store(to, a1, 16);
      to += yStep;
      v128.store(to, b0);
      v128.store(to, b1, 16);
      to += yStep;
      v128.store(to, c0);
      v128.store(to, c1, 16);
      to += yStep;
      v128.store(to, d0);
      v128.store(to, d1, 16);
    }
    weights += width * <usize>inputs;
    bias += width;
    y += width;
    outputs -= <i32>(width >> 2);
  }
}

/** factor · x + constant */
@inline
function linear(x: v128, factor: f32, constant: f32): v128 {
  return f32x4.add(f32x4.mul(x, f32x4.splat(factor)), f32x4.splat(constant));
}

/**
 * e^x − 1 for x ≤ 0, to 1e-7: x = n · ln 2 + r, and the polynomial of Cephes' `expf` for e^r − 1,
 * in pairs so that fewer operations wait for another. * Below −87 it is −1. NaN stays NaN: `pmax` and `pmin` give their first operand then.
 *
 * Adding 1.5 · 2^23 rounds to a whole number; with 127 beside it the lowest bits of the sum are
 * n + 127, which is 2^n once they stand where a float has its exponent.
 */
@inline
function expm1(x: v128): v128 {
  x = f32x4.pmax(x, f32x4.splat(-87));
  const shifted = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504)), f32x4.splat(12583039));
  const n = f32x4.sub(shifted, f32x4.splat(12583039));
  const power = i32x4.shl(shifted, 23);
  const r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.69314718)));
  const square = f32x4.mul(r, r);
  const low = linear(r, 1.66666655e-1, 0.5);
  const middle = linear(r, 8.333452e-3, 4.16657959e-2);
  const high = linear(r, 1.987569e-4, 1.39819995e-3);
  const outer = f32x4.add(f32x4.mul(square, high), middle);
  const tail = f32x4.add(f32x4.mul(square, outer), low);
  const p = f32x4.add(f32x4.mul(square, tail), r);
  return f32x4.add(f32x4.mul(power, p), f32x4.sub(power, f32x4.splat(1)));
}

/** e^(−factor · |x|) − 1 */
@inline
function decay(x: v128, factor: f32): v128 {
  return expm1(f32x4.mul(f32x4.abs(x), f32x4.splat(-factor)));
}

@inline
function withSign(size: v128, x: v128): v128 {
  return v128.bitselect(x, size, i32x4.splat(0x80000000));
}

/** Above 0 gamma · x, below it alpha · (e^x − 1): Elu, and Selu with the product as alpha. */
export function elu(x: usize, y: usize, end: usize, alpha: f32, gamma: f32): void {
  const zero = f32x4.splat(0);
  for (; y < end; x += 16, y += 16) {
    const value = v128.load(x);
    const above = f32x4.mul(f32x4.splat(gamma), f32x4.pmax(value, zero));
    const below = f32x4.mul(f32x4.splat(alpha), expm1(f32x4.pmin(value, zero)));
    v128.store(y, f32x4.add(above, below));
  }
}

/** x > 0 ? x : alpha · x */
export function leakyRelu(x: usize, y: usize, end: usize, alpha: f32, _: f32): void {
  for (; y < end; x += 16, y += 16) {
    const value = v128.load(x);
    const bent = f32x4.mul(f32x4.splat(alpha), value);
    v128.store(y, v128.bitselect(value, bent, f32x4.gt(value, f32x4.splat(0))));
  }
}

/** min(max(x, low), high); Relu with 0 and infinity. */
export function clip(x: usize, y: usize, end: usize, low: f32, high: f32): void {
  for (; y < end; x += 16, y += 16) {
    v128.store(y, f32x4.pmin(f32x4.pmax(v128.load(x), f32x4.splat(low)), f32x4.splat(high)));
  }
}

/** With d = e^(−2|x|) − 1: −d / (d + 2), and the sign of x. */
export function tanh(x: usize, y: usize, end: usize, _a: f32, _b: f32): void {
  for (; y < end; x += 16, y += 16) {
    const value = v128.load(x);
    const d = decay(value, 2);
    const size = f32x4.div(f32x4.neg(d), f32x4.add(d, f32x4.splat(2)));
    v128.store(y, withSign(size, value));
  }
}

/** With d = e^(−|x|) − 1: 1 / (d + 2) for x > 0, and (d + 1) / (d + 2) below. */
export function sigmoid(x: usize, y: usize, end: usize, _a: f32, _b: f32): void {
  const one = f32x4.splat(1);
  for (; y < end; x += 16, y += 16) {
    const value = v128.load(x);
    const d = decay(value, 1);
    const isPositive = f32x4.gt(value, f32x4.splat(0));
    const above = v128.bitselect(one, f32x4.add(d, one), isPositive);
    v128.store(y, f32x4.div(above, f32x4.add(d, f32x4.splat(2))));
  }
}

/**
 * max(x, 0) + ln(1 + z), z = e^(−|x|) ≤ 1: ln(1 + z) = 2 · artanh(s), s = z / (2 + z) ≤ 1/3, by
 * its series up to s^15 / 15, which leaves 2e-10.
 */
export function softplus(x: usize, y: usize, end: usize, _a: f32, _b: f32): void {
  for (; y < end; x += 16, y += 16) {
    const value = v128.load(x);
    const z = f32x4.add(decay(value, 1), f32x4.splat(1));
    const s = f32x4.div(z, f32x4.add(z, f32x4.splat(2)));
    const square = f32x4.mul(s, s);
    let sum = f32x4.splat(1.0 / 15);
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1.0 / 13));
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1.0 / 11));
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1.0 / 9));
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1.0 / 7));
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1.0 / 5));
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1.0 / 3));
    sum = f32x4.add(f32x4.mul(sum, square), f32x4.splat(1));
    const logarithm = f32x4.mul(f32x4.add(s, s), sum);
    v128.store(y, f32x4.add(f32x4.pmax(value, f32x4.splat(0)), logarithm));
  }
}

/**
 * The two polynomials that ONNX Runtime has (MlasErfKernel, after N. Juffa): x + x · p(x²) below
 * 0.921875, and 1 − e^(−q(|x|)) above, 1 from 3.925 on.
 */
export function erf(x: usize, y: usize, end: usize, _a: f32, _b: f32): void {
  for (; y < end; x += 16, y += 16) {
    const value = v128.load(x);
    const size = f32x4.abs(value);
    const square = f32x4.mul(value, value);
    let p = f32x4.splat(-5.99104969e-4);
    p = f32x4.add(f32x4.mul(p, square), f32x4.splat(4.99339588e-3));
    p = f32x4.add(f32x4.mul(p, square), f32x4.splat(-2.67667342e-2));
    p = f32x4.add(f32x4.mul(p, square), f32x4.splat(1.12818025e-1));
    p = f32x4.add(f32x4.mul(p, square), f32x4.splat(-3.76124859e-1));
    p = f32x4.add(f32x4.mul(p, square), f32x4.splat(1.28379151e-1));
    const small = f32x4.add(f32x4.mul(size, p), size);
    const capped = f32x4.pmin(size, f32x4.splat(3.925));
    let q = f32x4.splat(1.7294893e-5);
    q = f32x4.add(f32x4.mul(q, capped), f32x4.splat(-3.8320868e-4));
    q = f32x4.add(f32x4.mul(q, capped), f32x4.splat(3.88393435e-3));
    q = f32x4.add(f32x4.mul(q, capped), f32x4.splat(-2.42545605e-2));
    q = f32x4.add(f32x4.mul(q, capped), f32x4.splat(1.06777847e-1));
    q = f32x4.add(f32x4.mul(q, capped), f32x4.splat(6.34846687e-1));
    q = f32x4.add(f32x4.mul(q, capped), f32x4.splat(1.28717512e-1));
    q = f32x4.add(f32x4.mul(q, capped), capped);
    const large = f32x4.neg(expm1(f32x4.neg(q)));
    const isLarge = f32x4.gt(size, f32x4.splat(0.921875));
    v128.store(y, withSign(v128.bitselect(large, small, isLarge), value));
  }
}

export function add(a: usize, b: usize, y: usize, end: usize): void {
  for (; y < end; a += 16, b += 16, y += 16) {
    v128.store(y, f32x4.add(v128.load(a), v128.load(b)));
  }
}

export function sub(a: usize, b: usize, y: usize, end: usize): void {
  for (; y < end; a += 16, b += 16, y += 16) {
    v128.store(y, f32x4.sub(v128.load(a), v128.load(b)));
  }
}

export function mul(a: usize, b: usize, y: usize, end: usize): void {
  for (; y < end; a += 16, b += 16, y += 16) {
    v128.store(y, f32x4.mul(v128.load(a), v128.load(b)));
  }
}

export function div(a: usize, b: usize, y: usize, end: usize): void {
  for (; y < end; a += 16, b += 16, y += 16) {
    v128.store(y, f32x4.div(v128.load(a), v128.load(b)));
  }
}

/** (x − mean) / √(variance + epsilon) over `width` floats; in float64, which costs nothing here. */
export function standardize(x: usize, y: usize, width: i32, epsilon: f64): void {
  const end = x + (<usize>width << 2);
  let sum: f64 = 0;
  for (let at = x; at < end; at += 4) sum += load<f32>(at);
  const mean = sum / width;
  let squares: f64 = 0;
  for (let at = x; at < end; at += 4) {
    const difference = <f64>load<f32>(at) - mean;
    squares += difference * difference;
  }
  const divisor = Math.sqrt(squares / width + epsilon);
  for (let at = x; at < end; at += 4, y += 4) {
    store<f32>(y, <f32>((<f64>load<f32>(at) - mean) / divisor));
  }
}
