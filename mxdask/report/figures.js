"use strict";
// Draws the figures that the page holds as data, one after the other: between them the page can be read and scrolled.
const drawFigure = (() => {
  const grey = "#5b6470", faint = "#e6e9ee", nothing = "#f4f5f7";
  const numbers = (values) => values.map((v) => (v === null ? NaN : v));
  const columns = (data) => Object.fromEntries(
    Object.entries(data).map(([key, values]) =>
      [key, values.length && Array.isArray(values[0]) ? values.map(numbers) : numbers(values)]));

  function glyph(plot, g) {
    const colour = g.colour || grey;
    if (g.kind === "image") {
      const rows = g.data.image, flat = Float32Array.from(numbers(rows.flat()));
      const mapper = new Bokeh.LinearColorMapper(
        { palette: Bokeh.Palettes.Viridis256, low: g.low, high: g.high, nan_color: nothing });
      const { ndarray } = Bokeh.require("core/util/ndarray");
      const source = new Bokeh.ColumnDataSource({ data: {
        image: [ndarray(flat.buffer, { dtype: "float32", shape: [rows.length, rows[0].length] })],
        x: [g.x], y: [g.y], dw: [g.width], dh: [g.height] } });
      const drawn = plot.image({ image: { field: "image" }, x: { field: "x" }, y: { field: "y" }, dw: { field: "dw" },
        dh: { field: "dh" }, source, color_mapper: mapper });
      const ticker = new Bokeh.BasicTicker({ desired_num_ticks: 5 });
      plot.add_layout(new Bokeh.ColorBar({ color_mapper: mapper, title: g.title || null, ticker, width: 10 }), "right");
      plot.x_range.range_padding = plot.y_range.range_padding = 0;
      return drawn;
    }
    const source = new Bokeh.ColumnDataSource({ data: columns(g.data) });
    const x = { field: "x" }, y = { field: "y" };
    if (g.kind === "line") {
      return plot.line(x, y, { source, line_color: colour, line_width: g.dashed ? 1.2 : 1.8,
        line_dash: g.dashed ? [5, 4] : [] });
    }
    if (g.kind === "lines") {
      return plot.multi_line({ field: "xs" }, { field: "ys" }, { source, line_color: colour, line_width: 1.2 });
    }
    if (g.kind === "bars") {
      plot.y_range.start = 0;
      return plot.quad({ field: "left" }, { field: "right" }, 0, { field: "top" },
        { source, fill_color: colour, fill_alpha: 0.45, line_color: colour, line_width: 1 });
    }
    const shade = g.data.colour ? { field: "colour" } : colour;
    return plot.scatter(x, y, { source, size: g.size, fill_color: shade, line_color: shade, alpha: 0.85 });
  }

  function style(axis, given) {
    axis.axis_line_color = axis.major_tick_line_color = axis.axis_label_text_color = axis.major_label_text_color = grey;
    axis.minor_tick_line_color = null;
    axis.axis_label_text_font_style = "normal";
    if (given.ticks) {
      axis.ticker = new Bokeh.FixedTicker({ ticks: given.ticks.map(([place]) => place) });
      axis.major_label_overrides = new Map(given.ticks);
    }
    if (given.turned) axis.major_label_orientation = 1.2;
    if (given.ticks && given.ticks.length > 30) axis.major_label_text_font_size = "9px";
    if (given.hidden) axis.visible = false;
  }

  function legend(plot, drawn) {
    const named = new Map();
    drawn.forEach(([name, renderer]) => named.set(name, [...(named.get(name) || []), renderer]));
    const items = Array.from(named, ([name, renderers]) => new Bokeh.LegendItem({ label: { value: name }, renderers }));
    plot.add_layout(new Bokeh.Legend({ items, click_policy: "hide", label_text_font_size: "11px",
      border_line_color: null, spacing: 0, padding: 4, background_fill_alpha: 0 }), "right");
  }

  return (spec, element) => {
    const range = (axis) => (axis.limits ? new Bokeh.Range1d({ start: axis.limits[0], end: axis.limits[1] }) : undefined);
    const options = { title: spec.title, height: spec.height, sizing_mode: "stretch_width",
      x_axis_label: spec.x.label, y_axis_label: spec.y.label, x_axis_type: spec.x.log ? "log" : "linear",
      y_axis_type: spec.y.log ? "log" : "linear", match_aspect: Boolean(spec.equal),
      tools: "pan,wheel_zoom,box_zoom,reset,save", active_drag: "box_zoom" };
    if (spec.x.limits) options.x_range = range(spec.x);
    if (spec.y.limits) options.y_range = range(spec.y);
    const plot = Bokeh.Plotting.figure(options);
    plot.toolbar.logo = null;
    plot.toolbar.autohide = true;
    plot.outline_line_color = null;
    plot.title.text_font_size = "13px";
    plot.title.text_color = "#1d2733";
    plot.center.forEach((part) => { if (part instanceof Bokeh.Grid) part.grid_line_color = faint; });
    style(plot.below[0], spec.x);
    style(plot.left[0], spec.y);
    const drawn = spec.glyphs.map((g) => {
      const renderer = glyph(plot, g);
      renderer.name = g.name;
      return [g.name, renderer];
    });
    if (spec.cross) {
      for (const dimension of ["width", "height"]) {
        plot.add_layout(new Bokeh.Span({ location: 0, dimension, line_color: "#b8c0cc", line_width: 1 }));
      }
    }
    if (spec.hover.length) {
      const kinds = spec.glyphs.map((g) => g.kind);
      const renderers = drawn.filter((_, i) => kinds[i] !== "lines" && !spec.glyphs[i].dashed).map(([, r]) => r);
      plot.add_tools(new Bokeh.HoverTool({ tooltips: spec.hover, renderers }));
    }
    if (spec.legend) legend(plot, drawn);
    return Bokeh.Plotting.show(plot, element);
  };
})();

(() => {
  const held = document.getElementById("figures");
  if (!held) return;
  const specs = JSON.parse(held.textContent);
  const waiting = Array.from(document.querySelectorAll("[data-figure]"));
  const draw = () => {
    const element = waiting.shift();
    drawFigure(specs[Number(element.dataset.figure)], element);
  };
  const next = () => {
    if (waiting.length === 0) return;
    setTimeout(next, 0);
    draw();
  };
  next();
  window.addEventListener("beforeprint", () => { while (waiting.length) draw(); });
})();
