"use strict";
// Fetches the page's live part again; without this script a reload does the same.
const live = document.getElementById("live");
const state = document.getElementById("state");
async function again() {
  if (!document.hidden) {
    try {
      const answer = await fetch("/live", { cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      live.innerHTML = await answer.text();
      state.textContent = "live";
      state.className = "good";
    } catch {
      state.textContent = "the server does not answer";
      state.className = "bad";
    }
  }
  setTimeout(again, 2000);
}
setTimeout(again, 2000);
