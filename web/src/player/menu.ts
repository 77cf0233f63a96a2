/** A menu of radio groups over a button: arrow keys move, Escape closes and gives the focus back. */

export interface Choice {
  readonly text: string;
  readonly hint?: string;
  readonly checked: boolean;
  pick(): void;
}

export interface Group {
  readonly title: string;
  /** A class for the group's element. */
  readonly name: string;
  readonly choices: readonly Choice[];
}

export class Menu {
  constructor(
    private readonly root: HTMLElement,
    private readonly button: HTMLButtonElement,
    private readonly groups: () => readonly Group[],
  ) {
    button.addEventListener('click', () => (this.isOpen ? this.close() : this.open()));
    root.addEventListener('keydown', (event) => this.onKey(event));
    document.addEventListener('pointerdown', (event) => {
      const at = event.target as Node;
      if (this.isOpen && !root.contains(at) && !button.contains(at)) this.close();
    });
  }

  get isOpen(): boolean {
    return !this.root.hidden;
  }

  close(): void {
    const held = this.root.contains(document.activeElement);
    this.root.hidden = true;
    this.button.setAttribute('aria-expanded', 'false');
    if (held) this.button.focus();
  }

  /** Shows what has changed while open, keeping the focus. */
  refresh(): void {
    if (!this.isOpen) return;
    const at = this.items.indexOf(document.activeElement as HTMLButtonElement);
    this.fill();
    this.items[at]?.focus();
  }

  private open(): void {
    this.fill();
    this.root.hidden = false;
    this.button.setAttribute('aria-expanded', 'true');
    (this.items.find((item) => item.ariaChecked === 'true' && item.offsetParent !== null) ?? this.items[0])?.focus();
  }

  private get items(): HTMLButtonElement[] {
    return [...this.root.querySelectorAll('button')];
  }

  private fill(): void {
    this.root.replaceChildren(
      ...this.groups().map((group) => {
        const element = document.createElement('div');
        element.className = group.name;
        element.setAttribute('role', 'group');
        element.ariaLabel = group.title;
        const title = document.createElement('p');
        title.textContent = group.title;
        element.append(title, ...group.choices.map((choice) => this.item(choice)));
        return element;
      }),
    );
  }

  private item(choice: Choice): HTMLButtonElement {
    const item = document.createElement('button');
    item.type = 'button';
    item.setAttribute('role', 'menuitemradio');
    item.ariaChecked = String(choice.checked);
    item.textContent = choice.text;
    if (choice.hint !== undefined) {
      const hint = document.createElement('small');
      hint.textContent = choice.hint;
      item.append(hint);
    }
    item.addEventListener('click', () => {
      this.close();
      choice.pick();
    });
    return item;
  }

  private onKey(event: KeyboardEvent): void {
    event.stopPropagation();
    if (event.key === 'Escape' || event.key === 'Tab') return this.close();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const items = this.items.filter((item) => item.offsetParent !== null);
    const at = items.indexOf(document.activeElement as HTMLButtonElement);
    items[(at + step + items.length) % items.length]?.focus();
  }
}
