/**
 * Finds out whether the page around the widget is light or dark, in hosts that all say it differently.
 */
export type Theme = "light" | "dark";
export type ThemeSetting = Theme | "auto";
export type Host = "jupyter" | "vscode" | "other";

const DARK_LUMINANCE = 128;

type Detector = (element: Element) => Theme | null;

const named = (isDark: boolean): Theme => (isDark ? "dark" : "light");

function vscodeTheme(): Theme | null {
  const kind = document.body.dataset["vscodeThemeKind"];
  return kind === undefined ? null : named(/dark|high-contrast$/.test(kind));
}

function jupyterTheme(): Theme | null {
  const light = document.body.dataset["jpThemeLight"];
  return light === undefined ? null : named(light === "false");
}

/** Colab marks the root element. */
function rootAttributeTheme(): Theme | null {
  const theme = document.documentElement.getAttribute("theme");
  return theme === "dark" || theme === "light" ? theme : null;
}

const classTheme: Detector = (element) => (element.closest(".dark") ? "dark" : null);

function parentAcrossShadows(element: Element): Element | null {
  if (element.parentElement) return element.parentElement;
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? root.host : null;
}

/** The luminance of a colour as browsers write it, `rgb(...)`; null when it is see-through. */
function opaqueLuminance(color: string): number | null {
  const [red = 0, green = 0, blue = 0, alpha = 1] = (color.match(/[\d.]+/g) ?? []).map(Number);
  const isOpaque = color.startsWith("rgb") && alpha > 0.5;
  return isOpaque ? 0.2126 * red + 0.7152 * green + 0.0722 * blue : null;
}

/** Without an explicit theme, the colours of the page decide. */
const backgroundTheme: Detector = (element) => {
  for (let parent: Element | null = element; parent; parent = parentAcrossShadows(parent)) {
    const luminance = opaqueLuminance(getComputedStyle(parent).backgroundColor);
    if (luminance !== null) return named(luminance < DARK_LUMINANCE);
  }
  return null;
};

const preferredTheme = (): Theme => named(matchMedia("(prefers-color-scheme: dark)").matches);

const DETECTORS: readonly Detector[] = [vscodeTheme, jupyterTheme, rootAttributeTheme, classTheme, backgroundTheme];

export function detectTheme(element: Element, setting: ThemeSetting): Theme {
  if (setting !== "auto") return setting;
  for (const detect of DETECTORS) {
    const theme = detect(element);
    if (theme) return theme;
  }
  return preferredTheme();
}

/** Whose colours to use. A theme that was set explicitly may differ from the page's, so it has its own. */
export function colorHost(setting: ThemeSetting): Host {
  if (setting !== "auto") return "other";
  if (vscodeTheme()) return "vscode";
  return jupyterTheme() ? "jupyter" : "other";
}

/** Calls `changed` whenever a host may have switched its theme. */
export function watchTheme(changed: () => void): () => void {
  const observer = new MutationObserver(changed);
  const options = { attributes: true, attributeFilter: ["class", "style", "theme", "data-theme"] };
  observer.observe(document.documentElement, options);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: [...options.attributeFilter, "data-vscode-theme-kind", "data-jp-theme-light", "data-jp-theme-name"],
  });
  const preference = matchMedia("(prefers-color-scheme: dark)");
  preference.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    preference.removeEventListener("change", changed);
  };
}
