// The live part of a graph: a node under the pointer, and the links that it likeliest lacks.

class Nodes {
  constructor(content, edges, models) {
    Object.assign(this, { content, models });
    models.forEach(({ name }, i) => element("model").append(new Option(name, i)));
    this.chart = new Chart(element("map"), (place) => {
      this.choose(this.chart.nearest(place), place);
    });
    const count = edges.shape[1];
    this.edges = [...Array(count).keys()].map((i) => [edges.data[i], edges.data[count + i]]);
    element("model").addEventListener("change", (event) => this.show(event.target.value));
    this.show(0);
  }

  show(number) {
    const { labels } = this.content, model = this.models[number];
    this.model = model;
    const places = labels.map((_, i) => [...model.points.data.subarray(2 * i, 2 * i + 2)]);
    this.chart.show(places, labels, [], model);
    this.choose(0);
  }

  choose(node, place = this.chart.points[node]) {
    const { names } = this.content, { likeliest, scores } = this.model;
    this.node = node;
    const own = this.edges.filter((ends) => ends.includes(node));
    this.chart.lines = own;
    this.chart.mark(place);
    element("node").textContent = `Node ${names[node]}, with ${own.length} known `
      + `${own.length === 1 ? "link" : "links"}. The likeliest of those it lacks:`;
    const width = likeliest.shape[1], items = [];
    for (let i = node * width; i < (node + 1) * width; i++) {
      if (scores.data[i] < 0) continue;
      const item = document.createElement("li");
      item.textContent = `${names[likeliest.data[i]]}, score ${scores.data[i].toFixed(3)}`;
      items.push(item);
    }
    element("links").replaceChildren(...items);
  }
}

const element = (id) => document.getElementById(`live-${id}`);

async function started(content) {
  const models = await Promise.all(content.models.map(async (model) => ({
    ...model, points: await unpacked(model.points), likeliest: await unpacked(model.likeliest),
    scores: await unpacked(model.scores),
  })));
  element("part").hidden = element("link").hidden = false;
  return new Nodes(content, await unpacked(content.edges), models);
}

// What tests look at; a promise.
const live = started(JSON.parse(element("data").textContent));
