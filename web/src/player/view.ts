/** The page's elements: shows a session, and turns clicks and keys into calls on it. Holds no playback state of its own. */

import type { Address, EngineName } from './address';
import { Menu, type Group } from './menu';
import type { Session } from './session';
import { words } from './words';

const IDLE_MS = 2_500;
const REFRESH_MS = 500;

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`player.html has no #${id}`);
  return element as T;
}

export class View {
  private readonly root = byId('player');
  private readonly headline = byId('headline');
  private readonly detail = byId('detail');
  private readonly status = byId('status');
  private readonly live = byId<HTMLButtonElement>('live');
  private readonly liveText = byId('live-text');
  private readonly latency = byId('latency');
  private readonly quality = byId('quality');
  private readonly volume = byId<HTMLInputElement>('volume');
  private readonly stats = byId('stats');
  private readonly engines = [...document.querySelectorAll<HTMLButtonElement>('#engines button')];
  private menu: Menu | null = null;
  private idle = 0;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly address: Address,
  ) {
    this.stats.hidden = !address.stats;
  }

  bind(session: Session): void {
    const { root, video } = this;
    root.setAttribute('data-offer-sound', '');
    const click = (id: string, action: () => void) => byId(id).addEventListener('click', action);
    const toggle = () => (video.paused ? session.play() : video.pause());
    click('toggle', toggle);
    click('resume', toggle);
    // The first touch brings the controls back, no more.
    let revealing = false;
    root.addEventListener('pointerdown', (event) => (revealing = event.pointerType === 'touch' && root.hasAttribute('data-idle')), { capture: true });
    click('video', () => revealing || toggle());
    click('retry', () => session.retry());
    click('live', () => session.goLive());
    click('unmute', () => this.sound(1));
    click('mute', () => this.toggleSound());
    click('fullscreen', () => this.toggleFullscreen());
    click('pip', () => this.togglePip());
    byId('pip').hidden = !document.pictureInPictureEnabled;
    byId('fullscreen').hidden = !document.fullscreenEnabled;
    this.volume.addEventListener('input', () => this.sound(Number(this.volume.value) / 100));
    for (const button of this.engines) button.addEventListener('click', () => this.use(session, button.dataset['engine'] as EngineName));
    this.menu = new Menu(byId('menu'), byId<HTMLButtonElement>('settings'), () => this.groups(session));

    for (const event of ['play', 'pause', 'volumechange', 'waiting', 'playing', 'seeked'] as const)
      video.addEventListener(event, () => this.render(session));
    // The offer of sound goes away for good once it was taken.
    video.addEventListener('volumechange', () => video.muted || root.removeAttribute('data-offer-sound'));
    document.addEventListener('fullscreenchange', () => this.render(session));
    document.addEventListener('keydown', (event) => this.onKey(event, session, toggle));
    for (const event of ['pointermove', 'pointerdown', 'focusin', 'keydown'] as const) root.addEventListener(event, () => this.wake());
    setInterval(() => this.renderNumbers(session), REFRESH_MS);
    this.wake();
    this.render(session);
  }

  render(session: Session): void {
    const { video, root } = this;
    const { headline, detail } = words(session.state, session.fault);
    const before = root.dataset['state'];
    root.dataset['state'] = session.state;
    root.toggleAttribute('data-buffering', session.state !== 'paused' && video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA);
    root.toggleAttribute('data-muted', video.muted);
    if (this.headline.textContent !== headline) {
      this.headline.textContent = headline;
      this.detail.textContent = detail;
    }
    if (before !== session.state || this.status.textContent === '') this.status.textContent = detail === '' ? headline : `${headline}. ${detail}`;
    const behind = session.state === 'behind' || session.state === 'paused';
    this.liveText.textContent = behind ? 'Go live' : 'Live';
    this.live.disabled = !behind;
    if (before !== session.state) document.title = `${headline} · stream ${this.address.stream.split('_')[1] ?? ''}`;

    this.face('toggle', video.paused ? ['play', 'Play', 'k'] : ['pause', 'Pause', 'k']);
    this.face('mute', video.muted ? ['muted', 'Turn sound on', 'm'] : ['sound', 'Mute', 'm']);
    this.face('fullscreen', document.fullscreenElement ? ['shrink', 'Leave full screen', 'f'] : ['expand', 'Full screen', 'f']);
    const level = video.muted ? 0 : Math.round(video.volume * 100);
    this.volume.value = String(level);
    this.volume.style.setProperty('--level', `${level}%`);
    for (const button of this.engines) button.ariaPressed = String(button.dataset['engine'] === session.engineName);
    this.menu?.refresh();
    this.renderNumbers(session);
  }

  private renderNumbers(session: Session): void {
    const { engine, latency } = session;
    this.latency.textContent = latency === null ? '' : `${latency.toFixed(1)} s`;
    this.quality.textContent = engine?.levels.find((level) => level.id === engine.level)?.label ?? '';
    if (this.address.stats) this.renderStats(session);
  }

  private renderStats(session: Session): void {
    const { video } = this;
    const buffered = video.buffered.length > 0 ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
    const quality = video.getVideoPlaybackQuality();
    const rows: [string, string][] = [
      ['engine', session.engineName],
      ['state', session.state],
      ['latency', session.latency === null ? '-' : `${session.latency.toFixed(2)} s (target ${session.engine?.target()?.toFixed(2) ?? '-'})`],
      ['buffer', `${buffered.toFixed(2)} s`],
      ['picture', `${video.videoWidth}x${video.videoHeight}, ${quality.droppedVideoFrames} of ${quality.totalVideoFrames} dropped`],
      ['stalls', String(session.stalls.length)],
      ['errors', `${session.errors.length}, fatal ${session.fatal}`],
    ];
    this.stats.replaceChildren(
      ...rows.flatMap(([name, value]) => {
        const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
        dt.textContent = name;
        dd.textContent = value;
        return [dt, dd];
      }),
    );
  }

  private face(id: string, [icon, name, key]: [icon: string, name: string, key: string]): void {
    const button = byId(id);
    if (button.ariaLabel === name) return;
    button.ariaLabel = name;
    button.title = `${name} (${key})`;
    button.querySelector('use')?.setAttribute('href', `#${icon}`);
  }

  private groups(session: Session): Group[] {
    const { engine } = session;
    const levels = [...(engine?.levels ?? [])].sort((a, b) => b.bitrate - a.bitrate);
    const playing = engine?.chosen === null ? levels.find((level) => level.id === engine.level)?.label : undefined;
    return [
      {
        title: 'Quality',
        name: 'qualities',
        choices: [
          { text: 'Auto', ...(playing === undefined ? {} : { hint: playing }), checked: (engine?.chosen ?? null) === null, pick: () => engine?.choose(null) },
          ...levels.map((level) => ({
            text: level.label,
            hint: `${(level.bitrate / 1e6).toFixed(1)} Mbit/s`,
            checked: engine?.chosen === level.id,
            pick: () => engine?.choose(level.id),
          })),
        ],
      },
      {
        title: 'Delivery',
        name: 'delivery',
        choices: (['hls', 'dash'] as const).map((name) => ({
          text: name.toUpperCase(),
          checked: session.engineName === name,
          pick: () => this.use(session, name),
        })),
      },
    ];
  }

  private use(session: Session, engine: EngineName): void {
    const url = new URL(location.href);
    if (engine === 'hls') url.searchParams.delete('engine');
    else url.searchParams.set('engine', engine);
    history.replaceState(null, '', url);
    session.use(engine);
    this.render(session);
  }

  private sound(volume: number): void {
    this.video.volume = Math.min(1, Math.max(0, volume));
    this.video.muted = volume <= 0;
  }

  private toggleSound(): void {
    if (this.video.muted) this.sound(this.video.volume || 1);
    else this.video.muted = true;
  }

  private toggleFullscreen(): void {
    const done = document.fullscreenElement ? document.exitFullscreen() : this.root.requestFullscreen();
    done.catch((cause: unknown) => console.debug('full screen refused', cause));
  }

  private togglePip(): void {
    const done = document.pictureInPictureElement ? document.exitPictureInPicture() : this.video.requestPictureInPicture();
    done.catch((cause: unknown) => console.debug('picture in picture refused', cause));
  }

  private onKey(event: KeyboardEvent, session: Session, toggle: () => void): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // A focused control keeps its own keys.
    const control = event.target instanceof HTMLButtonElement || event.target instanceof HTMLInputElement;
    const louder = (step: number) => this.sound((this.video.muted ? 0 : this.video.volume) + step);
    const actions: Record<string, () => void> = {
      k: toggle,
      m: () => this.toggleSound(),
      f: () => this.toggleFullscreen(),
      i: () => this.togglePip(),
      l: () => session.goLive(),
      ...(control ? {} : { ' ': toggle, ArrowUp: () => louder(0.1), ArrowDown: () => louder(-0.1) }),
    };
    const action = actions[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action();
  }

  /** Shows the controls; they fade when nothing is touched for a while. */
  private wake(): void {
    this.root.removeAttribute('data-idle');
    clearTimeout(this.idle);
    this.idle = window.setTimeout(() => {
      if (this.menu?.isOpen) this.wake();
      else this.root.setAttribute('data-idle', '');
    }, IDLE_MS);
  }
}
