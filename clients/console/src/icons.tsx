/** The few pictures of the page. All are decoration: what they mean is said in words beside or in a label. */

import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const BellIcon = () => (
  <Icon>
    <path d="M5 8.5a5 5 0 0 1 10 0c0 4 1.5 5 1.5 5h-13S5 12.5 5 8.5Z" />
    <path d="M8.3 16.3a1.9 1.9 0 0 0 3.4 0" />
  </Icon>
);

export const CheckIcon = () => (
  <Icon>
    <path d="m4.5 10.5 3.6 3.6 7.4-8" />
  </Icon>
);

export const UnreadIcon = () => (
  <Icon>
    <circle cx="10" cy="10" r="3.4" />
  </Icon>
);

export const ArchiveIcon = () => (
  <Icon>
    <path d="M3.5 4.5h13v3h-13zM4.7 7.5v8h10.6v-8M8 10.5h4" />
  </Icon>
);

export const PinIcon = () => (
  <Icon>
    <path d="M7 3.5h6l-.8 5 2.3 2.6v1.4h-9v-1.4L7.8 8.5ZM10 12.5v4.5" />
  </Icon>
);

export const ClockIcon = () => (
  <Icon>
    <circle cx="10" cy="10" r="6.5" />
    <path d="M10 6.3V10l2.6 1.8" />
  </Icon>
);

export const CloseIcon = () => (
  <Icon>
    <path d="m5.5 5.5 9 9m0-9-9 9" />
  </Icon>
);

export const Mark = () => (
  <svg className="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect className="mark-ground" width="32" height="32" rx="8" />
    <circle className="mark-dot" cx="11" cy="16" r="2.7" />
    <path className="mark-wave" d="M15.6 10.6a7.6 7.6 0 0 1 0 10.8" />
    <path className="mark-wave faint" d="M20.2 6.6a13.4 13.4 0 0 1 0 18.8" />
  </svg>
);
