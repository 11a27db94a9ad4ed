// The live part: one code at a time, which the map, the sliders and the pictures set and show.
// Needs engine.js, and chart.js for the map.

const element = (id) => document.getElementById(`live-${id}`);

// Steps of a moving pointer or slider are drawn once a frame, the last one only.
function eachFrame(draw) {
  let asked = false;
  return () => {
    if (!asked) requestAnimationFrame(() => { asked = false; draw(); });
    asked = true;
  };
}

function option(select, text, value) {
  const made = new Option(text, value);
  select.append(made);
}

// An image as the page shows it: grey, or red, green and blue; bytes, or numbers from 0 to peak.
function paint(canvas, data, [channels, height, width], peak) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const area = height * width;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) {
      const from = channels === 1 ? i : c * area + i;
      image.data[4 * i + c] = c < channels || channels === 1 ? (data[from] * 255) / peak + 0.5 : 0;
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function picture(parent, caption) {
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  const told = document.createElement("figcaption");
  canvas.setAttribute("role", "img");
  figure.append(canvas, told);
  parent.append(figure);
  const show = (data, shape, peak, text = caption) => {
    paint(canvas, data, shape, peak);
    told.textContent = text;
    canvas.setAttribute("aria-label", text);
  };
  return { canvas, show };
}

class Scene {
  constructor(content, images, noise) {
    Object.assign(this, content, { images, noise });
    this.shape = images.shape.slice(1);
    this.values = size(this.shape);
  }

  image(number) {
    return this.images.data.subarray(number * this.values, (number + 1) * this.values);
  }

  named(number) {
    return `image ${number + 1}, ${this.classes[this.labels[number]]}`;
  }
}

class LiveModel {
  constructor(scene, part) {
    Object.assign(this, part, { scene });
  }

  static async of(scene, part) {
    const [codes, samples, noisy, decoder, encoder] = await Promise.all([
      unpacked(part.codes), unpacked(part.samples), part.noisy && unpacked(part.noisy),
      loaded(part.decoder), loaded(part.encoder),
    ]);
    return new LiveModel(scene, { ...part, codes, samples, noisy, decoder, encoder });
  }

  row(of, number) {
    const width = this.codes.shape[1];
    return of.data.slice(number * width, (number + 1) * width);
  }

  decoded(code) {
    return run(this.decoder, { data: code, shape: [1, code.length] });
  }

  // Where a code is on the map.
  place(code) {
    const { axes, centre } = this.map;
    return axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (code[i] - centre[i]), 0));
  }

  // The code of a place on the map; numbers beside the latent ones are those of another code.
  codeAt([x, y], beside) {
    const { axes, centre } = this.map;
    return beside.map((b, i) => (i < this.latent ? centre[i] + x * axes[0][i] + y * axes[1][i] : b));
  }

  between(first, last, share) {
    const nearer = share < 0.5 ? first : last;
    return first.map((a, i) => (i < this.latent ? a + share * (last[i] - a) : nearer[i]));
  }

  // What is made of one of the images to choose from, at a level of noise, which is drawn too.
  restored(choice, level) {
    const { scene } = this, { values, shape } = scene, start = choice * values;
    const clean = scene.image(scene.chosen[choice]);
    const noisy = Float32Array.from(clean, (byte, i) => {
      const x = (byte / 255 + scene.levels[level] * scene.noise.data[start + i]) * this.peak;
      return this.bounded ? Math.min(Math.max(x, 0), this.peak) : x;
    });
    const code = this.encoder
      ? run(this.encoder, { data: noisy, shape: [1, ...shape] })
      : this.row(this.noisy, choice * scene.levels.length + level);
    return { noisy, restored: this.decoded(code) };
  }
}

function decibels(scene, number, x, peak) {
  const clean = scene.image(number);
  const error = clean.reduce((sum, byte, i) => sum + (byte / 255 - x[i] / peak) ** 2, 0);
  return `${(-10 * Math.log10(error / clean.length + 1e-12)).toFixed(1)} dB`;
}

class LivePart {
  constructor(scene, models) {
    Object.assign(this, { scene, models, model: models[0], nearest: scene.chosen[0] });
    models.forEach((model, i) => option(element("model"), model.name, i));
    for (const id of ["image", "from", "to"]) {
      scene.chosen.forEach((number, i) => option(element(id), scene.named(number), i));
    }
    element("to").selectedIndex = scene.chosen.length - 1;
    const level = element("level");
    level.max = scene.levels.length - 1;
    level.value = 4;
    this.answer = picture(element("answer"));
    this.near = picture(element("answer"));
    this.way = ["from", "on the way", "to"].map((name) => picture(element("way"), name));
    this.samples = [...Array(10)].map(() => picture(element("drawn")));
    this.drawn = 0;
    element("classes").replaceChildren(...scene.classes.map((name, i) => {
      const item = document.createElement("li"), dot = document.createElement("span");
      dot.style.color = COLOURS[i % COLOURS.length];
      dot.textContent = "● ";
      item.append(dot, name);
      return item;
    }));
    this.noise = ["clean", "noisy", ...models.map((one) => one.name)]
      .map((name) => picture(element("restored"), name));
    this.chart = new Chart(element("map"), (place) => this.goTo(place));
    this.draw = {
      code: eachFrame(() => this.showCode()), way: eachFrame(() => this.showWay()),
      noise: eachFrame(() => this.showNoise()),
    };
    element("model").addEventListener("change", (event) => this.choose(event.target.value));
    element("image").addEventListener("change", (event) => {
      this.take(scene.chosen[event.target.value]);
      this.draw.noise();
    });
    for (const id of ["from", "to", "share"]) element(id).addEventListener("input", this.draw.way);
    level.addEventListener("input", this.draw.noise);
    element("draw").addEventListener("click", () => this.showSamples());
    this.choose(0);
    this.showNoise();
  }

  choose(number) {
    const { model, scene } = { model: this.models[number], scene: this.scene };
    this.model = model;
    this.points = scene.labels.map((_, i) => model.place(model.row(model.codes, i)));
    this.chart.show(this.points, scene.labels, scene.classes, model.map);
    element("map-told").textContent = `Each point is one of ${scene.labels.length} ${scene.split} `
      + `images, in the colour of its class. A place on the map is a code: ${model.map.told}.`;
    element("prior").textContent = `Codes are drawn from ${model.prior}; each press decodes the `
      + `next ten of ${model.samples.shape[0]} that were drawn when the page was written.`;
    element("sliders").replaceChildren(...model.sliders.map((slider) => this.slider(slider)));
    this.drawn = 0;
    this.take(scene.chosen[element("image").value]);
    this.showWay();
    this.showSamples();
  }

  slider({ number, used, low, high }) {
    const label = document.createElement("label"), input = document.createElement("input");
    const value = document.createElement("output");
    Object.assign(input, { type: "range", min: low, max: high, step: (high - low) / 200 });
    input.dataset.number = number;
    input.addEventListener("input", () => {
      this.code[number] = input.valueAsNumber;
      this.draw.code();
    });
    label.append(`number ${number + 1} (${used}) `, value, input);
    return label;
  }

  take(number) {
    this.code = this.model.row(this.model.codes, number);
    this.draw.code();
  }

  goTo(place) {
    const beside = this.model.row(this.model.codes, this.chart.nearest(place));
    this.code = this.model.codeAt(place, beside);
    this.draw.code();
  }

  showCode() {
    const { model, scene } = this, place = model.place(this.code);
    this.nearest = this.chart.nearest(place);
    this.chart.mark(place);
    this.answer.show(model.decoded(this.code), scene.shape, model.peak, "decoded");
    const near = this.points[this.nearest];
    this.near.show(scene.image(this.nearest), scene.shape, 255,
      `nearest on the map: ${scene.named(this.nearest)}`);
    element("place").textContent = `At ${place.map((x) => x.toFixed(2)).join(", ")}; nearest point `
      + `at ${near.map((x) => x.toFixed(2)).join(", ")}.`;
    for (const label of element("sliders").children) {
      const input = label.querySelector("input"), value = this.code[input.dataset.number];
      if (document.activeElement !== input) input.value = value;
      label.querySelector("output").textContent = value.toFixed(2);
    }
  }

  showWay() {
    const { model, scene } = this, share = element("share").valueAsNumber / 100;
    const ends = ["from", "to"].map((id) => scene.chosen[element(id).value]);
    const codes = ends.map((number) => model.row(model.codes, number));
    const [first, on, last] = this.way;
    first.show(scene.image(ends[0]), scene.shape, 255, scene.named(ends[0]));
    on.show(model.decoded(model.between(...codes, share)), scene.shape, model.peak,
      `${Math.round(100 * share)} % of the way`);
    last.show(scene.image(ends[1]), scene.shape, 255, scene.named(ends[1]));
  }

  showSamples() {
    const { model, scene } = this;
    for (const sample of this.samples) {
      const number = this.drawn % model.samples.shape[0];
      sample.show(model.decoded(model.row(model.samples, number)), scene.shape, model.peak,
        `${number + 1}`);
      this.drawn += 1;
    }
  }

  showNoise() {
    const { scene } = this, level = element("level").valueAsNumber;
    const choice = Number(element("image").value), number = scene.chosen[choice];
    element("sigma").textContent = scene.levels[level].toFixed(2);
    const [clean, noisy, ...others] = this.noise;
    clean.show(scene.image(number), scene.shape, 255);
    this.models.forEach((model, i) => {
      const made = model.restored(choice, level), { peak, name } = model;
      if (!i) {
        noisy.show(made.noisy, scene.shape, peak,
          `noisy, ${decibels(scene, number, made.noisy, peak)}`);
      }
      others[i].show(made.restored, scene.shape, peak,
        `${name}, ${decibels(scene, number, made.restored, peak)}`);
    });
  }
}

async function started(content) {
  const [images, noise] = await Promise.all([unpacked(content.images), unpacked(content.noise)]);
  const scene = new Scene(content, images, noise);
  const models = await Promise.all(content.models.map((part) => LiveModel.of(scene, part)));
  element("part").hidden = element("link").hidden = false;
  return new LivePart(scene, models);
}

// What tests look at; a promise.
const live = started(JSON.parse(element("data").textContent));
