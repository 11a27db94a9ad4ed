// A map of points that a pointer, a finger or the arrow keys go over.

const COLOURS = [
  "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C510A", "#999999",
  "#6A3D9A", "#B8A800",
];

class Chart {
  constructor(canvas, onPlace) {
    Object.assign(this, { canvas, onPlace, place: null, lines: [] });
    const go = (event) => {
      const box = canvas.getBoundingClientRect();
      this.go([(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height]);
    };
    canvas.addEventListener("pointermove", go);
    canvas.addEventListener("pointerdown", go);
    canvas.addEventListener("keydown", (event) => {
      const steps = {
        ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1],
      };
      const step = steps[event.key];
      if (!step || !this.place) return;
      event.preventDefault();
      this.go(this.shares(this.place).map((share, i) => share + step[i] * 0.02));
    });
    addEventListener("resize", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // Points [x, y], the number of each one's class, and the range that is shown.
  show(points, labels, classes, { low, high }) {
    Object.assign(this, { points, labels, classes, low, high });
    this.place = null;
    this.draw();
  }

  shares(place) {
    return place.map((x, i) => (x - this.low[i]) / (this.high[i] - this.low[i]));
  }

  go(shares) {
    const kept = shares.map((share) => Math.min(Math.max(share, 0), 1));
    this.onPlace(kept.map((share, i) => this.low[i] + share * (this.high[i] - this.low[i])));
  }

  // The number of the point nearest to a place, as the map shows it.
  nearest(place) {
    const [x, y] = this.shares(place);
    let [best, found] = [Infinity, 0];
    this.points.forEach((point, i) => {
      const [a, b] = this.shares(point), far = (a - x) ** 2 + (b - y) ** 2;
      if (far < best) [best, found] = [far, i];
    });
    return found;
  }

  mark(place) {
    this.place = place;
    this.draw();
  }

  draw() {
    if (!this.points) return;
    const { canvas } = this, box = canvas.getBoundingClientRect(), scale = devicePixelRatio || 1;
    if (!box.width) return;
    canvas.width = box.width * scale;
    canvas.height = box.height * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const at = (place) => {
      const [x, y] = this.shares(place);
      return [x * box.width, (1 - y) * box.height];
    };
    context.strokeStyle = "rgba(128, 128, 128, 0.5)";
    context.beginPath();
    for (const [a, b] of this.lines) {
      context.moveTo(...at(this.points[a]));
      context.lineTo(...at(this.points[b]));
    }
    context.stroke();
    this.points.forEach((point, i) => {
      context.fillStyle = COLOURS[this.labels[i] % COLOURS.length];
      context.beginPath();
      context.arc(...at(point), this.points.length > 1000 ? 2 : 3.5, 0, 7);
      context.fill();
    });
    if (this.place) {
      const [x, y] = at(this.place);
      context.strokeStyle = getComputedStyle(document.body).color;
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x - 11, y);
      context.lineTo(x + 11, y);
      context.moveTo(x, y - 11);
      context.lineTo(x, y + 11);
      context.stroke();
    }
  }
}
