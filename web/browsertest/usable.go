package browsertest

import (
	"encoding/json"
	"fmt"
)

// What follows asks a page whether people can use it. Each returns what is wrong,
// an element a line.

// TooSmall lists what can be pressed and is smaller than that, in CSS pixels (WCAG
// 2.2, 2.5.8). What a label makes larger counts with its label. Links within a
// sentence are as large as its lines.
func (p *Tab) TooSmall(least float64) []string {
	return p.list(fmt.Sprintf(`(() => {
		const list = [];
		for (const e of document.querySelectorAll("a[href], button, input, select, textarea, summary, [role=button], [role=switch]")) {
			if (!e.checkVisibility({ visibilityProperty: true }) || e.closest(".skip, .unseen")) continue;
			if (e.localName === "a" && getComputedStyle(e).display === "inline" && e.parentElement.matches("p")) continue;
			const boxes = [e, ...(e.labels ?? [])].map((part) => part.getBoundingClientRect());
			const width = Math.max(...boxes.map((b) => b.width)), height = Math.max(...boxes.map((b) => b.height));
			if (width < %[1]g || height < %[1]g) list.push(width.toFixed(1) + " × " + height.toFixed(1) + ": " + e.outerHTML.slice(0, 120));
		}
		return JSON.stringify(list);
	})()`, least))
}

// CutOff lists what is wider than the window, or than what it is in, and whether the
// page scrolls sideways. What the selector matches is left out, with all in it.
func (p *Tab) CutOff(except string) []string {
	return p.list(fmt.Sprintf(`(() => {
		const wide = document.documentElement.clientWidth, list = [];
		if (document.documentElement.scrollWidth > wide) list.push("the page scrolls sideways: " + document.documentElement.scrollWidth);
		for (const e of document.querySelectorAll("body *")) {
			if (!e.checkVisibility() || e.closest(".skip, .unseen, svg, option, " + %s)) continue;
			const box = e.getBoundingClientRect(), what = e.outerHTML.slice(0, 120);
			if (box.width && (box.right > wide + 1 || box.left < -1)) list.push("from " + box.left + " to " + box.right + ": " + what);
			const style = getComputedStyle(e);
			const field = e.matches("input, textarea, select");
			if (!field && style.display !== "inline" && (style.overflowX !== "visible" || e.matches("button, label")) && e.scrollWidth > e.clientWidth + 1) list.push("cut off: " + what);
			if (e.matches("input[placeholder]") && !e.value) {
				const pen = document.createElement("canvas").getContext("2d");
				pen.font = style.font;
				const room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight), needed = pen.measureText(e.placeholder).width;
				if (needed > room + 1) list.push("the placeholder needs " + needed + " of " + room + ": " + what);
			}
		}
		return JSON.stringify(list);
	})()`, Quote(except)))
}

// Faint lists texts whose contrast with what is behind them is less than WCAG AA
// asks for: 4.5, or 3 for large ones. Texts of what is disabled do not count, nor
// those upon pictures, which the selector matches.
func (p *Tab) Faint(except string) []string {
	return p.list(fmt.Sprintf(`(() => {
		const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
		const rgba = (css) => {
			pen.clearRect(0, 0, 1, 1);
			pen.fillStyle = css;
			pen.fillRect(0, 0, 1, 1);
			const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
			return [r, g, b, a / 255];
		};
		const over = ([r, g, b, a], under) => [r * a + under[0] * (1 - a), g * a + under[1] * (1 - a), b * a + under[2] * (1 - a)];
		const light = (c) => {
			const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
			return 0.2126 * r + 0.7152 * g + 0.0722 * b;
		};
		const ground = (e) => {
			const behind = e.parentElement ? ground(e.parentElement) : rgba(getComputedStyle(document.body).backgroundColor).slice(0, 3);
			return over(rgba(getComputedStyle(e).backgroundColor), behind);
		};
		const opacity = (e) => (e ? Number(getComputedStyle(e).opacity) * opacity(e.parentElement) : 1);
		const list = [], told = new Set();
		const look = (e, css, text) => {
			const style = getComputedStyle(e), under = ground(e);
			const [r, g, b, a] = rgba(css);
			const ink = over([r, g, b, a * opacity(e)], under);
			const [high, low] = [light(ink), light(under)].sort((x, y) => y - x);
			const ratio = (high + 0.05) / (low + 0.05);
			const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
			const line = ratio.toFixed(2) + ": " + e.localName + "." + e.className + " " + text.trim().slice(0, 60);
			if (ratio < (large ? 3 : 4.5) && !told.has(line)) { told.add(line); list.push(line); }
		};
		for (const e of document.querySelectorAll("body *")) {
			if (!e.checkVisibility({ visibilityProperty: true }) || e.closest(".unseen, .skip, svg, option, :disabled, [aria-disabled=true], " + %s)) continue;
			const text = [...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("");
			if (text.trim()) look(e, getComputedStyle(e).color, text);
			if (e.placeholder && !e.value) look(e, getComputedStyle(e, "::placeholder").color, e.placeholder);
		}
		return JSON.stringify(list);
	})()`, Quote(except)))
}

// Outline lists what is wrong with the page's landmarks and headings: one main, one
// banner, one heading of the first level, no level left out, and a name for each
// thing that can be used.
func (p *Tab) Outline() []string {
	return p.list(`(() => {
		const list = [];
		const seen = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility());
		for (const one of ["main", "body > header", "h1"]) if (seen(one).length !== 1) list.push(seen(one).length + " of " + one);
		let level = 0;
		for (const h of seen("h1, h2, h3, h4, h5, h6")) {
			const is = Number(h.localName[1]);
			if (is > level + 1) list.push("a level is left out before " + h.outerHTML.slice(0, 120));
			if (!h.textContent.trim()) list.push("an empty heading: " + h.outerHTML.slice(0, 120));
			level = is;
		}
		const named = (e) => e.textContent.trim() || e.ariaLabel || e.labels?.length || (e.getAttribute("aria-labelledby") ?? "").split(" ").some((id) => document.getElementById(id)?.textContent.trim());
		for (const e of seen("a[href], button, input, select, textarea, summary, [tabindex]:not([tabindex='-1']), nav, body main section")) {
			if (!named(e)) list.push("no name: " + e.outerHTML.slice(0, 120));
		}
		const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
		for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) list.push("twice: #" + id);
		return JSON.stringify(list);
	})()`)
}

func (p *Tab) list(expression string) []string {
	p.t.Helper()
	var list []string
	if err := json.Unmarshal([]byte(p.Eval(expression)), &list); err != nil {
		p.t.Fatal(err)
	}
	return list
}
