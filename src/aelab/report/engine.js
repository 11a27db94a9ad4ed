// Runs a network: a list of steps on arrays, as report/programs.py writes them. A value is its
// numbers and its shape, the first dimension of which is one input.

const ALPHABET = [...Array(94).keys()]
  .map((i) => String.fromCharCode(33 + i)).filter((c) => !'"\\<'.includes(c)).join("");
const DIGIT = new Uint8Array(128);
[...ALPHABET].forEach((c, i) => { DIGIT[c.charCodeAt(0)] = i; });

const size = (shape) => shape.reduce((a, b) => a * b, 1);

// Bytes of a text in which two characters stand for 13 bits, inflated.
async function inflated(count, text) {
  const bytes = new Uint8Array(count);
  let [bits, held, at] = [0, 0, 0];
  for (let i = 0; i < text.length && at < count; i += 2) {
    const pair = 91 * DIGIT[text.charCodeAt(i)] + DIGIT[text.charCodeAt(i + 1)];
    bits = ((bits & 0xff) << 13) | pair;
    for (held += 13; held >= 8 && at < count; held -= 8) bytes[at++] = bits >> (held - 8);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function ofHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, part = bits & 1023;
  return sign * (power ? 2 ** (power - 15) * (1 + part / 1024) : part * 2 ** -24);
}

// An array of report/packed.py.
async function unpacked([kind, shape, step, count, text]) {
  const bytes = await inflated(count, text), n = size(shape);
  if (kind === "u8") return { data: bytes, shape };
  if (kind === "u32") return { data: new Uint32Array(bytes.buffer, 0, n), shape };
  const data = new Float32Array(n);
  if (kind === "half") {
    const halves = new Uint16Array(bytes.buffer, 0, n);
    for (let i = 0; i < n; i++) data[i] = ofHalf(halves[i]);
  } else {
    const high = new Int8Array(bytes.buffer, 0, n);
    for (let i = 0; i < n; i++) {
      const low = (bytes[n + (i >> 1)] >> (i % 2 ? 4 : 0)) & 15;
      data[i] = (16 * high[i] + low) * step;
    }
  }
  return { data, shape };
}

async function loaded(program) {
  return program && { ...program, constants: await Promise.all(program.constants.map(unpacked)) };
}

// What a loaded program makes of an input.
function run(program, x) {
  const values = [x, ...program.constants];
  for (const [name, shape, inputs, ...numbers] of program.steps) {
    const of = inputs.map((i) => values[i]);
    values.push({ data: STEPS[name](of, shape, ...numbers), shape });
  }
  return values[program.output].data;
}

// Numbers from one index of a dimension to the next, in an array of that shape.
const stride = (shape, dim) => size(shape.slice(dim + 1));
const dimension = (shape, dim) => (dim + shape.length) % shape.length;

function pointwise(change) {
  return ([x], shape, number) => {
    const y = new Float32Array(x.data.length);
    for (let i = 0; i < y.length; i++) y[i] = change(x.data[i], number);
    return y;
  };
}

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// Abramowitz & Stegun 7.1.26, to 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
    + 0.254829592) * t;
  return Math.sign(x) * (1 - p * Math.exp(-x * x));
}

// The numbers of an array of `shape`, from an array in which its dimensions have these strides.
function gathered(data, shape, strides) {
  const at = shape.map(() => 0), y = new Float32Array(size(shape));
  for (let i = 0, place = 0; i < y.length; i++) {
    y[i] = data[place];
    for (let d = shape.length - 1; d >= 0; d--) {
      place += strides[d];
      if (++at[d] < shape[d]) break;
      place -= strides[d] * shape[d];
      at[d] = 0;
    }
  }
  return y;
}

// A number is the same at each place, and so is an array along dimensions that it lacks.
function spread(x, shape) {
  const first = shape.length - x.shape.length;
  const strides = shape.map((_, d) => (d < first || x.shape[d - first] === 1
    ? 0 : stride(x.shape, d - first)));
  return gathered(x.data, shape, strides);
}

function binary(change) {
  return ([a, b], shape, number) => {
    const x = spread(a, shape), y = b ? spread(b, shape) : null;
    return x.map((value, i) => change(value, y ? y[i] : number));
  };
}

function permute([x], shape, dims) {
  const strides = dims.map((d) => stride(x.shape, dimension(x.shape, d)));
  return gathered(x.data, shape, strides);
}

// y += factor x, over so many numbers from these places on.
function add(y, to, x, from, count, factor) {
  for (let i = 0; i < count; i++) y[to + i] += factor * x[from + i];
}

// y[r] = x[r] w + b, row by row.
function linear([x, w, b], [rows, outputs]) {
  const y = new Float32Array(rows * outputs), inputs = w.shape[0];
  for (let r = 0; r < rows; r++) {
    if (b) y.set(b.data, r * outputs);
    for (let i = 0; i < inputs; i++) {
      const factor = x.data[r * inputs + i];
      if (factor) add(y, r * outputs, w.data, i * outputs, outputs, factor);
    }
  }
  return y;
}

function bmm([a, b], [batches, rows, columns]) {
  const y = new Float32Array(batches * rows * columns), inputs = a.shape[2];
  for (let n = 0; n < batches; n++) {
    const own = a.shape[0] === 1 ? 0 : n * rows * inputs, other = n * inputs * columns;
    for (let r = 0; r < rows; r++) {
      const to = (n * rows + r) * columns;
      if (columns === 1) {
        let sum = 0;
        for (let i = 0; i < inputs; i++) sum += a.data[own + r * inputs + i] * b.data[other + i];
        y[to] = sum;
      } else {
        for (let i = 0; i < inputs; i++) {
          add(y, to, b.data, other + i * columns, columns, a.data[own + r * inputs + i]);
        }
      }
    }
  }
  return y;
}

// Which x have a y at stride x + offset, of y from 0 to `most` - 1.
function inside(offset, step, most, count) {
  return [Math.max(0, Math.ceil(-offset / step)),
    Math.min(count, Math.floor((most - 1 - offset) / step) + 1)];
}

// Goes through a kernel's places, and the part of a small map that each has a place for in a
// large one, row by row: place(kernel, small, large, count), `step` apart in the large one.
function windows(kernel, strides, padding, small, large, place) {
  for (let u = 0; u < kernel[0]; u++) {
    const [top, bottom] = inside(u - padding[0], strides[0], large[0], small[0]);
    for (let v = 0; v < kernel[1]; v++) {
      const [left, right] = inside(v - padding[1], strides[1], large[1], small[1]);
      for (let row = top; row < bottom; row++) {
        const y = row * strides[0] + u - padding[0], x = left * strides[1] + v - padding[1];
        place(u * kernel[1] + v, row * small[1] + left, y * large[1] + x, right - left);
      }
    }
  }
}

// The patches that a kernel sees, laid out so that y = w patches.
function convolution([x, w, b], [, outputs, height, width], strides, padding) {
  const [inputs, ...kernel] = w.shape.slice(1), large = x.shape.slice(2);
  const [area, whole, ends] = [height * width, size(large), size(kernel)];
  const patches = new Float32Array(inputs * ends * area), y = new Float32Array(outputs * area);
  for (let i = 0; i < inputs; i++) {
    windows(kernel, strides, padding, [height, width], large, (k, to, from, count) => {
      const start = (i * ends + k) * area + to;
      for (let n = 0, at = i * whole + from; n < count; n++, at += strides[1]) {
        patches[start + n] = x.data[at];
      }
    });
  }
  for (let o = 0; o < outputs; o++) {
    if (b) y.fill(b.data[o], o * area, (o + 1) * area);
    for (let i = 0; i < inputs * ends; i++) {
      add(y, o * area, patches, i * area, area, w.data[o * inputs * ends + i]);
    }
  }
  return y;
}

// The patches that each place puts out, added up where they overlap.
function transposed([x, w, b], shape, strides, padding) {
  const [inputs, outputs, ...kernel] = w.shape, part = stride(x.shape, 1);
  const ends = outputs * size(kernel), patches = new Float32Array(ends * part);
  const own = new Float32Array(ends);
  for (let n = 0; n < part; n++) {
    own.fill(0);
    for (let i = 0; i < inputs; i++) {
      const factor = x.data[i * part + n];
      if (factor) add(own, 0, w.data, i * ends, ends, factor);
    }
    for (let k = 0; k < ends; k++) patches[k * part + n] = own[k];
  }
  const y = col2im([{ data: patches }], shape, kernel, padding, strides, x.shape.slice(2));
  const area = shape[2] * shape[3];
  if (b) y.forEach((value, at) => { y[at] = value + b.data[Math.floor(at / area)]; });
  return y;
}

// Patches put back where they came from, and added up where they overlap.
function col2im([x], [, channels, height, width], kernel, padding, strides, many) {
  const small = many ?? [0, 1].map((d) => Math.floor(
    ([height, width][d] + 2 * padding[d] - kernel[d]) / strides[d]) + 1);
  const y = new Float32Array(channels * height * width), part = size(small);
  for (let c = 0; c < channels; c++) {
    windows(kernel, strides, padding, small, [height, width], (k, from, to, count) => {
      const start = (c * size(kernel) + k) * part + from;
      for (let n = 0; n < count; n++) {
        y[c * height * width + to + n * strides[1]] += x.data[start + n];
      }
    });
  }
  return y;
}

function maxPool([x], [, channels, height, width], kernel, strides) {
  const y = new Float32Array(channels * height * width).fill(-Infinity);
  const large = x.shape.slice(2), area = height * width;
  for (let c = 0; c < channels; c++) {
    windows(kernel, strides, [0, 0], [height, width], large, (k, to, from, count) => {
      for (let n = 0; n < count; n++) {
        const value = x.data[c * size(large) + from + n * strides[1]], at = c * area + to + n;
        if (value > y[at]) y[at] = value;
      }
    });
  }
  return y;
}

function upsample([x], [, channels, height, width]) {
  const [rows, columns] = x.shape.slice(2), y = new Float32Array(channels * height * width);
  for (let c = 0, at = 0; c < channels; c++) {
    for (let i = 0; i < height; i++) {
      const row = (c * rows + Math.floor((i * rows) / height)) * columns;
      for (let j = 0; j < width; j++) y[at++] = x.data[row + Math.floor((j * columns) / width)];
    }
  }
  return y;
}

function slice([x], shape, dim, start) {
  const d = dimension(shape, dim), inner = stride(shape, d), block = shape[d] * inner;
  const first = start < 0 ? start + x.shape[d] : start;
  const whole = x.shape[d] * inner, y = new Float32Array(size(shape));
  for (let n = 0; n * block < y.length; n++) {
    y.set(x.data.subarray(n * whole + first * inner, n * whole + first * inner + block), n * block);
  }
  return y;
}

function cat(of, shape, dim) {
  const d = dimension(shape, dim), y = new Float32Array(size(shape));
  const whole = stride(shape, d) * shape[d];
  let at = 0;
  for (const x of of) {
    const block = stride(x.shape, d) * x.shape[d];
    for (let n = 0; n * block < x.data.length; n++) {
      y.set(x.data.subarray(n * block, (n + 1) * block), n * whole + at);
    }
    at += block;
  }
  return y;
}

function glu([x], shape) {
  const half = shape[shape.length - 1], y = new Float32Array(size(shape));
  for (let i = 0; i < y.length; i++) {
    const at = 2 * half * Math.floor(i / half) + (i % half);
    y[i] = x.data[at] * sigmoid(x.data[at + half]);
  }
  return y;
}

// Row i is the sum of values[m] x[index[m]], m from starts[i] to the next start.
function bag([x, index, starts, values], [rows, width]) {
  const y = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) {
    const stop = i + 1 < rows ? starts.data[i + 1] : index.data.length;
    for (let m = starts.data[i]; m < stop; m++) {
      add(y, i * width, x.data, index.data[m] * width, width, values.data[m]);
    }
  }
  return y;
}

// The largest numbers of a code (part 0), or where they stand (part 1).
function topk([x], shape, count, part) {
  const order = [...x.data.keys()].sort((a, b) => x.data[b] - x.data[a]).slice(0, count);
  return Float32Array.from(order, (i) => (part ? i : x.data[i]));
}

function scatter([x, index, values]) {
  const y = Float32Array.from(x.data);
  index.data.forEach((place, i) => { y[place] = values.data[i]; });
  return y;
}

const STEPS = {
  reshape: ([x]) => x.data,
  permute,
  transpose([x], shape, a, b) {
    const dims = [...shape.keys()], [i, j] = [dimension(shape, a), dimension(shape, b)];
    [dims[i], dims[j]] = [j, i];
    return permute([x], shape, dims);
  },
  relu: pointwise((x) => (x > 0 ? x : 0)),
  leaky_relu: pointwise((x, slope = 0.01) => (x > 0 ? x : slope * x)),
  elu: pointwise((x) => (x > 0 ? x : Math.expm1(x))),
  gelu: pointwise((x) => (x * (1 + erf(x / Math.SQRT2))) / 2),
  silu: pointwise((x) => x * sigmoid(x)),
  tanh: pointwise(Math.tanh),
  sigmoid: pointwise(sigmoid),
  exp: pointwise(Math.exp),
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  linear, bmm, convolution, transposed, col2im, max_pool: maxPool, upsample,
  slice, cat, glu, bag, topk, scatter,
  zeros: ([x]) => new Float32Array(x.data.length),
};
