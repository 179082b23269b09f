/**
 * The theme of every page: as the system has it, light, or dark. It is kept where the browser lets a page keep something, under the name
 * and in the words of TypeDoc, so that the reference has the same.
 */

const KEY = "tsd-theme";
const THEMES = ["os", "light", "dark"];

function kept(): string {
  try {
    return localStorage.getItem(KEY) ?? "os";
  } catch {
    return "os";
  }
}

function apply(theme: string): void {
  if (theme === "os") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
}

let theme = THEMES.includes(kept()) ? kept() : "os";
apply(theme);

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  if (button === null) return;
  const name = () => {
    button.textContent = { os: "Auto", light: "Light", dark: "Dark" }[theme] ?? "";
    button.setAttribute("aria-label", `Theme: ${theme === "os" ? "auto" : theme}`);
  };
  name();
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
    apply(theme);
    name();
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It lasts as long as the page.
    }
  });
});
