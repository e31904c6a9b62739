"use strict";
// Plots are drawn, tables sorted and pictures enlarged; without this the page still reads.
(() => {
  const PRINTED_PX = 640; // What fits on a page of A4 or Letter between its margins.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touched = matchMedia("(pointer: coarse)").matches;
  const valuesOf = (kind) => [...document.querySelectorAll(`script.${kind}`)].map((element) => [
    document.getElementById(element.dataset.plot), JSON.parse(element.textContent),
  ]);

  function colours(printing) {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    return printing ? { ink: "#000", quiet: "#444", grid: "#ddd", line: "#bbb", ground: "#fff" }
      : { ink: value("--ink"), quiet: value("--quiet"), grid: value("--grid"), line: value("--line"), ground: value("--ground") };
  }

  function themed(layout, printing = false) {
    const { ink, quiet, grid, line, ground } = colours(printing);
    const axis = { gridcolor: grid, linecolor: line, tickcolor: line, zerolinecolor: line };
    return {
      ...layout,
      font: { ...layout.font, color: ink },
      // A finger scrolls the page; the buttons still zoom.
      dragmode: touched ? false : layout.dragmode,
      modebar: { bgcolor: "rgba(0,0,0,0)", color: quiet, activecolor: ink },
      hoverlabel: { bgcolor: ground, bordercolor: line, font: { color: ink }, align: "left" },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
    };
  }

  const drawn = [];
  if (window.Plotly) {
    // Named one by one: Plotly's own choice has a button that uploads the plot's data.
    const buttons = ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"];
    const config = {
      responsive: true, displaylogo: false, scrollZoom: false, modeBarButtons: [buttons], plotlyServerURL: "",
    };
    for (const [place, figure] of valuesOf("plot-values")) {
      Plotly.newPlot(place, figure.data, themed(figure.layout), config);
      drawn.push([place, figure]);
    }
    const redraw = (printing) => {
      for (const [place, figure] of drawn) {
        const size = printing ? { width: PRINTED_PX, autosize: false } : { width: undefined, autosize: true };
        Plotly.react(place, figure.data, { ...themed(figure.layout, printing), ...size }, config);
      }
    };
    dark.addEventListener("change", () => redraw(false));
    addEventListener("beforeprint", () => redraw(true));
    addEventListener("afterprint", () => redraw(false));
    showHovered();
  }

  function showHovered() {
    const names = new Map(valuesOf("plot-names"));
    for (const [place, pictures] of valuesOf("plot-points")) {
      const shown = document.getElementById(place.id.replace("plot", "hovered"));
      const [image, text] = [shown.querySelector("img"), shown.querySelector("span")];
      const starts = [];
      place.data.reduce((start, trace) => (starts.push(start), start + trace.x.length), 0);
      const show = (event) => {
        const point = event.points[0];
        const number = starts[point.curveNumber] + point.pointNumber;
        text.textContent = names.get(place)[number];
        image.hidden = pictures[number] === null;
        if (pictures[number] !== null) image.src = pictures[number];
      };
      place.on("plotly_hover", show);
      place.on("plotly_click", show);
    }
  }

  function order(cell) {
    return cell.dataset.order === undefined ? cell.textContent : Number(cell.dataset.order);
  }

  function compare(one, other) {
    return typeof one === "number" && typeof other === "number" ? one - other
      : String(one).localeCompare(String(other), undefined, { numeric: true });
  }

  for (const button of document.querySelectorAll("button.sort")) {
    button.addEventListener("click", () => {
      const header = button.closest("th");
      const column = [...header.parentElement.children].indexOf(header);
      // Numbers begin with the greatest, texts with the first.
      const first = header.classList.contains("number") ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const now = header.getAttribute("aria-sort") === first ? second : first;
      for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", now);
      const body = header.closest("table").tBodies[0];
      const sign = now === "ascending" ? 1 : -1;
      const rows = [...body.rows].sort((a, b) => sign * compare(order(a.cells[column]), order(b.cells[column])));
      body.append(...rows);
    });
  }

  const dialog = document.getElementById("enlarged");
  for (const button of document.querySelectorAll("button.enlarge")) {
    button.addEventListener("click", () => {
      const [image, large] = [button.querySelector("img"), document.getElementById("enlarged-picture")];
      large.src = image.src;
      large.alt = image.alt;
      const caption = button.parentElement.querySelector("figcaption");
      document.getElementById("enlarged-title").textContent = [...caption.querySelectorAll("span")]
        .map((one) => one.textContent).join(" · ");
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
})();
