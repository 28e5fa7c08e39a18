import { Component, type ComponentChild } from "preact";

function sameProperties(first: object, second: object): boolean {
  const before = Object.entries(first);
  const after: Record<string, unknown> = { ...second };
  return before.length === Object.keys(after).length && before.every(([key, value]) => after[key] === value);
}

/**
 * Renders again only when a property is another value. What is wrapped must not read signals: they
 * could not make it render.
 */
export function memo<Properties extends object>(render: (properties: Properties) => ComponentChild) {
  return class Memo extends Component<Properties> {
    override shouldComponentUpdate(next: Properties): boolean {
      return !sameProperties(this.props, next);
    }

    override render(): ComponentChild {
      return render(this.props);
    }
  };
}
